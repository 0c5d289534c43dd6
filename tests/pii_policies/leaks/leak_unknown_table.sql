-- caught: leak_unknown_table: not proved: reads raw_app.shadow, which no contract and no model has
select * from raw_app.shadow
