"""All SQL of the project, one file per noun. Only this package imports psycopg and translates its errors."""
