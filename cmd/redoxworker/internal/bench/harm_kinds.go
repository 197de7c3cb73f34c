package bench

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// harmKind is what one source meets.
type harmKind struct {
	name, about string
	source      int    // its number
	silent      bool   // there is nothing to be told of it
	scope       string // what /readyz and status must name; "" is the source
	// fault, where there is one, is what answers its messages, or those of them that rule selects.
	fault redoxsim.Fault
	rule  redoxsim.Rule
	// begin and mend are what else makes and ends the trouble.
	begin, mend func(ctx context.Context, s *scene) error
	// fill publishes the messages that meet it; by default some of each lane.
	fill func(ctx context.Context, h *harmCommand, s *scene) error
}

// allHarms are all there are.
func allHarms() []harmKind {
	answered := func(name, about string, f redoxsim.Fault) harmKind {
		return harmKind{name: name, about: about, source: sceneOne, fault: f}
	}
	return []harmKind{
		answered("hang", "it gets no answers", redoxsim.Fault{Action: redoxsim.Hang}),
		answered("500", "it is answered 500", redoxsim.Fault{Status: 500}),
		answered("503", "it is answered 503", redoxsim.Fault{Status: 503}),
		answered("401", "its tokens are refused, those of others with the same key are not", redoxsim.Fault{Status: 401}),
		answered("403", "its Source ID is refused", redoxsim.Fault{Status: 403}),
		answered("slow", "its answers take 30 s", redoxsim.Fault{Delay: 30 * time.Second}),
		{name: "flood", about: "it has many messages (--many) at once", source: sceneOne, fill: fillMany(sceneKind{source: sceneOne, lane: contract.LaneSend})},
		{name: "head", about: "many messages (--many) wait in order behind one that is answered 503", source: sceneOne, fault: redoxsim.Fault{Status: 503},
			rule: redoxsim.Rule{Contains: sceneStuck}, fill: fillBehind},
		{name: "key", about: "its key, which nobody else uses, is refused", source: sceneKeyed, scope: "key:" + sceneOwnKey,
			begin: func(ctx context.Context, s *scene) error { return s.withdraw(ctx, sceneOwnKey) },
			mend:  func(ctx context.Context, s *scene) error { return s.allow(ctx, sceneOwnKey) }},
		{name: "fhir", about: "its FHIR destination is down", source: sceneOne, scope: "dest:" + sourceName(sceneOne) + ":" + sceneSlug,
			fault: redoxsim.Fault{Status: 502}, rule: redoxsim.Rule{Path: redoxsim.PathFHIR},
			fill: func(ctx context.Context, h *harmCommand, s *scene) error {
				return s.traffic.many(ctx, h.Some, sceneKind{source: sceneOne, lane: contract.LaneSend, fhir: true})
			}},
		answered("reset", "its connections break before an answer", redoxsim.Fault{Action: redoxsim.Reset}),
		answered("429", "it is answered 429, with Retry-After", redoxsim.Fault{Status: 429, RetryAfter: "2"}),
		{name: "large", about: "its messages are of 10 MB", silent: true, source: sceneOne, fill: fillLarge},
		{name: "answers", about: "its answers are of 10 MB", silent: true, source: sceneOne, fault: redoxsim.Fault{Action: redoxsim.Huge, Size: 10_000_000, Accept: true}},
		{name: "dead", about: "all its messages, many of them (a fifth of --many), are dead-lettered", silent: true, source: sceneOne, fault: redoxsim.Fault{Status: 400},
			fill: func(ctx context.Context, h *harmCommand, s *scene) error {
				return s.traffic.many(ctx, h.Many/5, sceneKind{source: sceneOne, lane: contract.LaneSend})
			}},
		{name: "replies", about: "its replies are larger than their stream takes", source: sceneOne, fault: redoxsim.Fault{Action: redoxsim.Huge, Size: 100_000, Accept: true},
			begin: limitReplies(50_000), mend: limitReplies(-1),
			fill: func(ctx context.Context, h *harmCommand, s *scene) error {
				return s.traffic.many(ctx, h.Some, sceneKind{source: sceneOne, lane: contract.LaneRequest, durable: true})
			}},
		{name: "pause", about: "an operator has paused it", source: sceneOne,
			begin: func(ctx context.Context, s *scene) error {
				_, err := s.command(ctx, "pause", "--source", sourceName(sceneOne))
				return err
			},
			mend: func(ctx context.Context, s *scene) error {
				_, err := s.command(ctx, "resume", "--source", sourceName(sceneOne))
				return err
			}},
	}
}

// names what the trouble is called where operators look.
func (b harmKind) names() string {
	if b.scope != "" {
		return b.scope
	}
	return sourceName(b.source)
}

// start begins the trouble.
func (b harmKind) start(ctx context.Context, s *scene) error {
	if b.begin != nil {
		if err := b.begin(ctx, s); err != nil {
			return err
		}
	}
	if b.fault.String() == "ok" {
		return nil
	}
	rule := b.rule
	rule.Source, rule.Fault = sourceID(b.source), b.fault
	return s.rules(ctx, rule)
}

// load publishes what meets the trouble.
func (b harmKind) load(ctx context.Context, h *harmCommand, s *scene) error {
	if b.fill != nil {
		return b.fill(ctx, h, s)
	}
	for i, k := range []sceneKind{{lane: contract.LaneSend}, {order: sceneToken(b.source, 7)}, {lane: contract.LaneRequest}, {lane: contract.LaneRequest, durable: true}} {
		k.source = b.source
		if err := s.traffic.many(ctx, (h.Some+i)/4, k); err != nil {
			return err
		}
	}
	return nil
}

// stop ends the trouble.
func (b harmKind) stop(ctx context.Context, s *scene) error {
	err := s.rules(ctx)
	if b.mend != nil {
		err = errors.Join(err, b.mend(ctx, s))
	}
	_, released := s.ask(ctx, http.MethodPost, "release", nil)
	return errors.Join(err, released)
}

func fillMany(k sceneKind) func(context.Context, *harmCommand, *scene) error {
	return func(ctx context.Context, h *harmCommand, s *scene) error {
		return s.traffic.many(ctx, h.Many, k)
	}
}

// sceneStuck is in the body of a head that is stuck.
const sceneStuck = "stuck-head"

// fillBehind publishes the head and those behind it.
func fillBehind(ctx context.Context, h *harmCommand, s *scene) error {
	k := sceneKind{source: sceneOne, order: sceneToken(sceneOne, 8), note: sceneStuck}
	if err := s.traffic.publish(ctx, k); err != nil {
		return err
	}
	k.note = ""
	return s.traffic.many(ctx, h.Many, k)
}

// fillLarge publishes messages of 10 MB, as long as the trouble lasts.
func fillLarge(ctx context.Context, h *harmCommand, s *scene) error {
	for i := range max(1, h.Some/10) {
		lane := []contract.Lane{contract.LaneSend, contract.LaneRequest}[i%2]
		if err := s.traffic.publish(ctx, sceneKind{source: sceneOne, lane: lane, size: 9_900_000}); err != nil {
			return err
		}
	}
	return nil
}

// withdraw has the simulator accept a key and its tokens no longer.
func (s *scene) withdraw(ctx context.Context, client string) error {
	_, err := s.ask(ctx, http.MethodDelete, "keys?client_id="+client+"&kid="+client, nil)
	if err == nil {
		_, err = s.ask(ctx, http.MethodPost, "revoke?owner="+client, nil)
	}
	return err
}

// limitReplies has the stream of replies take none that is larger; −1 for any.
func limitReplies(size int32) func(context.Context, *scene) error {
	return func(ctx context.Context, s *scene) error {
		stream, err := s.js.Stream(ctx, contract.Prefix("").ReplyStream())
		if err != nil {
			return err
		}
		cfg := stream.CachedInfo().Config
		cfg.MaxMsgSize = size
		_, err = s.js.UpdateStream(ctx, cfg)
		return err
	}
}
