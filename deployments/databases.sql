-- The ledger's database, beside that of Prefect.
CREATE DATABASE animatic;
