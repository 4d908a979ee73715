-- Observations on TimescaleDB: a hypertable with columnstore, a chunk a week.

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
);
select create_hypertable('observation', 'phenomenon_start', chunk_time_interval => interval '7 days',
                         create_default_indexes => false);
create index observation_versions on observation (datastream_id, phenomenon_start) where version > 0;
alter table observation set (timescaledb.compress, timescaledb.compress_segmentby = 'datastream_id',
                             timescaledb.compress_orderby = 'phenomenon_start');
select add_compression_policy('observation', interval '14 days');

create function ensure_partition(moment timestamptz) returns void
language sql as $$ select null::void $$;                   -- chunks make themselves

grant select, insert on observation to citybroker_ingest;
grant select on observation to citybroker_publish;
