package lease

import (
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// Restarts notices that another NATS server answers than before. A single server that is
// killed forgets the deliveries of its last moments (it writes them down ten times a
// second): it delivers such a message once more, as if for the first time, while another
// worker still has it. A replicated consumer forgets nothing, because it delivers only
// what a majority has noted.
//
// What follows from that, for consumers without replicas:
//
//   - A lease from before the restart is not renewed: marks may be confirmed that are about
//     the delivery to another worker. It ends within an ack wait.
//   - Until then, nobody sends a message that must not be sent beside itself: one in order,
//     or one under hold.
//   - What came before the restart and was not sent yet is left alone: it comes again, at
//     once if the server forgot it and after the ack wait if it did not.
//
// A worker that starts learns of a restart from what others have left: see [Restarts.Recall].
type Restarts struct {
	conn    *nats.Conn
	ackWait time.Duration

	mu     sync.Mutex
	server string
	at     time.Time // when another server was seen; zero when there was none
	left   serverNote
}

// NewRestarts makes no request. ackWait is that of the consumers.
func NewRestarts(conn *nats.Conn, ackWait time.Duration) *Restarts {
	return &Restarts{conn: conn, ackWait: ackWait, server: conn.ConnectedServerId()}
}

// Look returns the id of the server that this worker is or was last connected to.
func (r *Restarts) Look() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if id := r.conn.ConnectedServerId(); id != "" && id != r.server {
		if r.server != "" {
			r.at = time.Now()
		}
		r.server = id
	}
	return r.server
}

// Contested is how long a message that was stored at the given time must be left alone yet:
// another worker may have it.
func (r *Restarts) Contested(stored time.Time) time.Duration {
	r.Look()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.at.IsZero() || !stored.Before(r.at) {
		return 0
	}
	return time.Until(r.at.Add(r.ackWait))
}

// ClockSkew is by how much the clocks of server and worker may differ.
const ClockSkew = 10 * time.Second

// Explains reports whether a restart lets the server say something wrong at the given time:
// that a message is gone which it takes for unacknowledged. It finds that out when it looks
// for what is to be delivered again, an ack wait after it was delivered.
func (r *Restarts) Explains(at time.Time) bool {
	r.Look()
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.at.IsZero() && at.After(r.at.Add(-ClockSkew)) && at.Before(r.at.Add(2*r.ackWait+ClockSkew))
}
