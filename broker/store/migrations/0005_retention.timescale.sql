-- Retention on TimescaleDB: whole chunks go. The publisher asks for it, not a policy's own job: what a feed shows
-- and how far it has come change in one transaction.

create function drop_observations(before timestamptz, out dropped integer, out busy integer)
language plpgsql security definer set search_path = public, pg_temp set lock_timeout = '500ms' as $$
begin
    busy := 0;
    select count(*) into dropped from drop_chunks('observation', older_than => before);
exception when lock_not_available or deadlock_detected then
    dropped := 0;
    busy := 1;
end $$;

revoke all on function drop_observations from public;
grant execute on function drop_observations to citybroker_publish;
