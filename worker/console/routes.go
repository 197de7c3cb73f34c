package console

import (
	"net/http"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/worker/console/access"
)

// routes are all that the console answers, each with what it takes. Where that is limited to some
// sources, the handler asks again for the one that it is about.
func (c *Console) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /static/", assets())
	mux.HandleFunc("POST /theme", c.theme)
	for _, route := range c.table() {
		mux.Handle(route.Pattern, c.bounded(route.Action, max(route.most, mostForm), route.do))
	}
	mux.Handle("/", c.as(access.See, func(http.ResponseWriter, *request) error {
		return &problem{Status: http.StatusNotFound, Text: "there is no such page"}
	}))
	return mux
}

// route is what answers one kind of request.
type route struct {
	Pattern string // of http.ServeMux
	Action  access.Action
	do      serve
	most    int64 // bytes of a form
}

func (c *Console) table() []route {
	return []route{
		{"GET /{$}", access.See, c.showOverview, 0},
		{"GET /events", access.See, c.events, 0},
		{"POST /pause", access.Pause, asking(c.pause), 0},
		{"POST /resume", access.Resume, asking(c.resume), 0},
		{"GET /dead", access.See, asking(c.showDead), 0},
		{"GET /dead/{sequence}", access.See, asking(c.showLetter), 0},
		{"GET /dead/{sequence}/shape", access.See, asking(c.showShape), 0},
		{"POST /dead/{sequence}/reveal", access.Reveal, asking(c.reveal), 0},
		{"POST /dead/{sequence}/edit", access.Edit, asking(c.edit), 0},
		{"POST /dead/{sequence}/send", access.Edit, asking(c.send), mostBody},
		{"POST /dead/choose", access.Replay, asking(c.choose), 0},
		{"POST /dead/export", access.Export, asking(c.export), 0},
		{"GET /replays", access.See, asking(c.showReplays), 0},
		{"POST /replays", access.Replay, asking(c.start), 0},
		{"GET /replays/{id}", access.See, asking(c.showReplay), 0},
		{"POST /replays/{id}/stop", access.Replay, asking(c.stop), 0},
		{"POST /replays/{id}/resume", access.Replay, asking(c.goOn), 0},
		{"GET /order", access.See, asking(c.showOrder), 0},
		{"GET /order/held", access.See, asking(c.showHeld), 0},
		{"POST /order/hold", access.Hold, asking(c.hold), 0},
		{"POST /order/release", access.Release, asking(c.release), 0},
		{"GET /sources", access.See, c.showSources, 0},
		{"POST /sources", access.Sources, asking(c.addSource), 0},
		{"GET /sources/{name}", access.Sources, asking(c.showSource), 0},
		{"POST /sources/{name}", access.Sources, asking(c.setSource), 0},
		{"POST /sources/{name}/remove", access.Sources, asking(c.removeSource), 0},
		{"GET /keys", access.See, c.showKeys, 0},
		{"GET /keys/jwks.json", access.See, c.showPublicKeys, 0},
		{"GET /workers", access.See, c.showWorkers, 0},
		{"GET /outbox", access.See, c.showOutbox, 0},
		{"GET /outbox/failed", access.See, c.showRows, 0},
		{"POST /outbox/choose", access.Retry, c.chooseRows, 0},
		{"POST /outbox/failed", access.Retry, c.changeRows, 0},
		{"GET /audit", access.Audit, asking(c.showAudit), 0},
	}
}

// asking is what asks NATS itself, and not what was found before: while the connection is down it says that at
// once, and takes no place from others until its requests have timed out.
func asking(do serve) serve {
	return func(w http.ResponseWriter, r *request) error {
		if !r.console.config.JS.Conn().IsConnected() {
			return nats.ErrDisconnected
		}
		return do(w, r)
	}
}
