-- Retention on plain PostgreSQL: whole weeks go, by one statement each.
-- Dropping a partition locks the table for everybody. Who waits for a long export would stop all that come after it,
-- so after half a second it is left for the next time.

create function drop_observations(before timestamptz, out dropped integer, out busy integer)
language plpgsql security definer set search_path = public, pg_temp set lock_timeout = '500ms' as $$
declare
    part text;
begin
    dropped := 0;
    busy := 0;
    for part in
        select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'observation'::regclass and c.relname ~ '^observation_\d{8}$'
          and (to_date(right(c.relname, 8), 'YYYYMMDD') + 7)::timestamp at time zone 'UTC' <= before
        order by c.relname
    loop
        begin
            execute format('drop table %I', part);
            dropped := dropped + 1;
        exception when lock_not_available or deadlock_detected then
            busy := busy + 1;
            exit;
        end;
    end loop;
end $$;

revoke all on function drop_observations from public;
grant execute on function drop_observations to citybroker_publish;
