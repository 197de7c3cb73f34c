package sqloutbox

import "maps"

// A relay knows up to which row a lane is done, and what it wrote there last. It knows that of one database: of another that
// takes its place, a replica that was promoted or a copy that was brought back, both may be untrue. That one may
// lack the last rows, and give their numbers to others, which would stand below the floor: a later row of their order
// key would go first.

// server names the server and the database, in the time since it was started, as an expression.
func (d Dialect) server() string {
	switch d {
	case Postgres:
		return "CAST(concat(extract(epoch FROM pg_postmaster_start_time()), ' ', (SELECT oid FROM pg_database WHERE datname = current_database())) AS text)"
	case MySQL:
		return "concat(@@hostname, ' ', @@port, ' ', @@server_id)"
	}
	return "''" // a file
}

// otherDatabase notes of which database a lane is read. Where that is another than before, it forgets what it knew of
// all lanes, and reports so.
func (r *Relay) otherDatabase(server string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.database
	if r.database = server; before == "" || before == server {
		return false
	}
	for l := range maps.Values(r.lanes) {
		l.floor, l.high, l.lowered, l.late, l.note, l.tries = 0, 0, 0, 0, 0, tries{}
	}
	for _, w := range r.waiting {
		for l := range w.from {
			w.from[l] = 0
		}
	}
	return true
}
