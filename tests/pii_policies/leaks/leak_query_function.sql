-- caught: leak_query_function: not proved: table function `query`
select * from query('select email from raw_app.users')
