-- What the API may see: views and functions with their owner's rights. Its role has no right on any table.
-- A batch is readable once it has a sequence. Within one snapshot every observation's batch is visible, so
-- "not among the few without a sequence" says the same as a join, and costs next to nothing.

alter table batch add column datastreams bigint[];              -- that it has observations of; null: any
alter table feed_member add column after_sequence bigint not null default 0;
                                                                -- an earlier membership held all before it

-- How far a feed has come: changes whenever what it shows does.
create table feed_position (
    feed      text primary key references feed,
    sequence  bigint not null,
    published timestamptz not null
);
grant select, insert, update on feed_position to citybroker_publish;

create view published_feed as
select id, definition, created from feed;

create view published_position as
select feed, sequence, published from feed_position;

create view published_datastream as
select m.feed, d.id, d.thing_id, t.identity as thing, p.key as property, p.name as property_name,
       p.definition, d.qualifier, d.unit, d.cell_window, d.statistic, d.minimum,
       bool_or(m.until_sequence is null) as current
from feed_member m
join datastream d on d.id = m.datastream_id
join thing t on t.id = d.thing_id
join observed_property p on p.id = d.observed_property_id
group by m.feed, d.id, t.id, p.id;

create view published_thing as
select t.id, t.identity, t.name, t.description, t.kind, t.properties,
       (select l.location from thing_location tl join location l on l.id = tl.location_id
        where tl.thing_id = t.id limit 1) as location
from thing t
where exists (select from datastream d join feed_member m on m.datastream_id = d.id where d.thing_id = t.id);

create view published_observation as
-- what a sensor sent, of datastreams that never left the feed
select m.feed, o.datastream_id, o.phenomenon_start, o.phenomenon_end, o.result_number, o.result, o.quality,
       o.version, case when o.quality & 128 = 0 then 'published' else 'withdrawn' end as status,
       greatest(b.sequence, m.from_sequence) as sequence,
       (select p.published from publication p where p.sequence = greatest(b.sequence, m.from_sequence)) as published
from feed_member m
join datastream d on d.id = m.datastream_id and d.cell_window is null and not d.personal
join observation o on o.datastream_id = m.datastream_id
left join batch b on b.id = o.batch_id                          -- left: not made where nobody asks for it
where m.until_sequence is null and m.after_sequence = 0
  and o.batch_id not in (select id from batch where sequence is null)
  and not exists (select from observation n
                  where n.datastream_id = o.datastream_id and n.phenomenon_start = o.phenomenon_start
                    and n.version > o.version and n.version > 0
                    and n.batch_id not in (select id from batch where sequence is null))
union all
-- of datastreams that left it, or left it and came back
select m.feed, o.datastream_id, o.phenomenon_start, o.phenomenon_end, o.result_number, o.result, o.quality,
       o.version, case when o.quality & 128 = 0 then 'published' else 'withdrawn' end,
       greatest(b.sequence, m.from_sequence), p.published
from feed_member m
join datastream d on d.id = m.datastream_id and d.cell_window is null and not d.personal
join observation o on o.datastream_id = m.datastream_id
join batch b on b.id = o.batch_id
    and b.sequence >= m.after_sequence and (m.until_sequence is null or b.sequence < m.until_sequence)
join publication p on p.sequence = greatest(b.sequence, m.from_sequence)
where (m.until_sequence is not null or m.after_sequence > 0)
  and not exists (select from observation n join batch nb on nb.id = n.batch_id
                  where n.datastream_id = o.datastream_id and n.phenomenon_start = o.phenomenon_start
                    and n.version > o.version and n.version > 0
                    and (m.until_sequence is null or nb.sequence < m.until_sequence)
                    and nb.sequence is not null)
union all
-- cells: all that was ever disclosed of what is personal, and aggregates
select m.feed, c.datastream_id, c.phenomenon_start, c.phenomenon_end,
       case when c.status = 'published' then c.result_number end, null::jsonb, 0::smallint, 0::smallint, c.status,
       greatest(c.sequence, m.from_sequence, c.withdrawn), p.published
from feed_member m
join cell c on c.datastream_id = m.datastream_id
    and c.sequence >= m.after_sequence and (m.until_sequence is null or c.sequence < m.until_sequence)
left join publication p on p.sequence = greatest(c.sequence, m.from_sequence, c.withdrawn);

create view published_latest as
select m.feed, m.datastream_id, o.phenomenon_start, o.phenomenon_end, o.result_number, o.result, o.quality,
       case when o.quality & 128 = 0 then 'published' else 'withdrawn' end as status
from feed_member m
join datastream d on d.id = m.datastream_id and d.cell_window is null and not d.personal
cross join lateral (
    select o.* from observation o
    where o.datastream_id = m.datastream_id
      and o.batch_id not in (select id from batch where sequence is null)
    order by o.phenomenon_start desc, o.version desc limit 1) o
where m.until_sequence is null
union all
select m.feed, m.datastream_id, c.phenomenon_start, c.phenomenon_end,
       case when c.status = 'published' then c.result_number end, null::jsonb, 0::smallint, c.status
from feed_member m
cross join lateral (
    select c.* from cell c where c.datastream_id = m.datastream_id
    order by c.phenomenon_start desc limit 1) c
where m.until_sequence is null;

-- The first phenomenon time at or after `since` of these members of a feed; null if there is none.
create function published_next(feed_id text, members bigint[], since timestamptz) returns timestamptz
language sql stable security definer set search_path = public, pg_temp as $$
    select min(found.first) from feed_member m cross join lateral (
        (select o.phenomenon_start as first from observation o
         where o.datastream_id = m.datastream_id and o.phenomenon_start >= since
           and o.batch_id not in (select id from batch where sequence is null)
         order by o.phenomenon_start limit 1)
        union all
        (select c.phenomenon_start from cell c
         where c.datastream_id = m.datastream_id and c.phenomenon_start >= since
         order by c.phenomenon_start limit 1)) found
    where m.feed = feed_id and m.datastream_id = any(members)
$$;

-- First and last phenomenon time of a feed.
create function published_span(feed_id text, out first timestamptz, out last timestamptz)
language sql stable security definer set search_path = public, pg_temp as $$
    select min(found.first), max(found.last) from feed_member m cross join lateral (
        select (select o.phenomenon_start from observation o
                where o.datastream_id = m.datastream_id
                  and o.batch_id not in (select id from batch where sequence is null)
                order by o.phenomenon_start limit 1) as first,
               (select o.phenomenon_start from observation o
                where o.datastream_id = m.datastream_id
                  and o.batch_id not in (select id from batch where sequence is null)
                order by o.phenomenon_start desc limit 1) as last
        union all
        select min(c.phenomenon_start), max(c.phenomenon_end) from cell c
        where c.datastream_id = m.datastream_id) found
    where m.feed = feed_id
$$;

-- A text as a field of CSV: https://www.rfc-editor.org/rfc/rfc4180
create function csv_field(field text) returns text language sql immutable as $$
    select case when field ~ '[",\n\r]' then '"' || replace(field, '"', '""') || '"' else field end
$$;

grant select on published_feed, published_position, published_datastream, published_thing,
    published_observation, published_latest to citybroker_serve;
revoke all on function published_next, published_span from public;
grant execute on function published_next, published_span to citybroker_serve;
