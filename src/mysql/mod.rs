//! What a node asks of MariaDB.
