-- The past of series of cells that joined a feed after their buckets had closed: [since, until) is still to be decided.

create table fill (
    datastream_id bigint primary key references datastream,
    since         timestamptz not null,
    until         timestamptz not null
);
grant select, insert, update, delete on fill to citybroker_publish;
