select 'ada@example.com' as email, '+49 30 1234567' as phone
