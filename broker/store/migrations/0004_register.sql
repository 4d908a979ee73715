-- Which things were registered (`citybroker things import`), and how often things are heard of.

alter table thing add column registered timestamptz;
alter table thing add column first_seen timestamptz;
alter table thing add column recent double precision not null default 0;  -- messages, each fading over a day

update thing set registered = created where source = 'register';
update thing set first_seen = last_seen;
