-- Observations on plain PostgreSQL: one partition a week, made when a batch first needs it.
-- No foreign keys: the writer takes datastream and batch ids from the same database, and a check per row costs a third.

create table observation (
    datastream_id    bigint not null,
    phenomenon_start timestamptz not null,
    version          smallint not null default 0,
    phenomenon_end   timestamptz,
    result_number    double precision,
    result           jsonb,                                 -- text, boolean, structure
    quality          smallint not null default 0,           -- broker.model.Quality
    batch_id         bigint not null,
    unique (datastream_id, phenomenon_start, version)
) partition by range (phenomenon_start);
create index observation_versions on observation (datastream_id, phenomenon_start) where version > 0;

-- ATTACH takes a lock that readers and writers do not notice; CREATE … PARTITION OF would wait for every long export.
create function ensure_partition(moment timestamptz) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    first timestamptz := date_trunc('week', moment at time zone 'UTC') at time zone 'UTC';
    name  text := 'observation_' || to_char(first at time zone 'UTC', 'YYYYMMDD');
begin
    perform pg_advisory_xact_lock(hashtext('citybroker partition'));
    if to_regclass('public.' || name) is not null then
        return;
    end if;
    execute format('create table %I (like observation including defaults including constraints)', name);
    execute format('alter table observation attach partition %I for values from (%L) to (%L)',
                   name, first, first + interval '7 days');
end $$;

grant select, insert on observation to citybroker_ingest;
grant select on observation to citybroker_publish;
revoke all on function ensure_partition from public;
grant execute on function ensure_partition to citybroker_ingest;
