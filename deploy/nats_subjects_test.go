package deploy_test

import (
	"slices"
	"strings"
)

// rights are what one user of accounts.conf may do, out of the subjects below.
// Everything that is not listed is denied: the lists are the whole of it.
type rights struct{ publish, subscribe []string }

const token = "0123456789abcdef0123456789abcdef"

func sourceRights(source string) rights {
	return rights{
		publish: []string{
			"redox.out." + source + ".send", "redox.out." + source + ".send." + token, "redox.out." + source + ".request",
			"$JS.API.DIRECT.GET.REDOX_REPLIES.redox.reply." + source + ".id", "$JS.API.DIRECT.GET.REDOX_REPLIES.redox.reply." + source + ".a.b",
			"$JS.API.CONSUMER.INFO.REDOX_REPLIES." + source + "-replies", "$JS.API.CONSUMER.MSG.NEXT.REDOX_REPLIES." + source + "-replies",
			"$JS.ACK.REDOX_REPLIES." + source + "-replies.1.1.1.1.0",
		},
		subscribe: []string{"_INBOX_" + source + ".>", "_INBOX_" + source + ".x", "redox.reply." + source + ".>", "redox.reply." + source + ".id"},
	}
}

var storing = []string{
	"redox.out.clinic-a.send", "redox.out.clinic-a.send." + token, "redox.out.clinic-a.request",
	"redox.out.clinic-b.send", "redox.out.clinic-b.send." + token, "redox.out.clinic-b.request",
}

var userRights = map[string]rights{
	clinicA: sourceRights(clinicA),
	clinicB: sourceRights(clinicB),
	gatewayClient: {
		publish:   []string{"redox.gateway.clinic-a.send", "redox.gateway.clinic-a.request"},
		subscribe: []string{"_INBOX_gateway-client.>", "_INBOX_gateway-client.x"},
	},
	workerUser: {
		publish: slices.Concat(storing, []string{
			"redox.dlq.clinic-a.rejected." + token, "redox.reply.clinic-a.id", "redox.reply.clinic-b.id", "redox.reply.clinic-a.a.b",
			"_INBOX_clinic-a.x", "_INBOX_clinic-b.x", "_INBOX_gateway-client.x", "_INBOX_operator.x", "_INBOX_console.x",
			"$JS.API.CONSUMER.CREATE.REDOX_OUT.clinic-a-send", "$JS.API.CONSUMER.CREATE.REDOX_OUT.clinic-a-request.redox.out.clinic-a.request",
			"$JS.API.CONSUMER.CREATE.REDOX_ADVISORIES.sweeper", "$JS.API.CONSUMER.CREATE.REDOX_RECONCILE.reconcile",
			"$JS.API.CONSUMER.INFO.REDOX_OUT.clinic-a-send", "$JS.API.CONSUMER.MSG.NEXT.REDOX_OUT.clinic-a-request",
			"$JS.ACK.REDOX_OUT.clinic-a-send.1.1.1.1.0", "$JS.ACK._.ACC.REDOX_OUT.clinic-a-send.1.1.1.1.0",
			"$JS.API.CONSUMER.INFO.REDOX_ADVISORIES.sweeper", "$JS.API.CONSUMER.MSG.NEXT.REDOX_ADVISORIES.sweeper", "$JS.ACK.REDOX_ADVISORIES.sweeper.1.1.1.1.0",
			"$JS.API.STREAM.INFO.REDOX_OUT", "$JS.API.STREAM.MSG.GET.REDOX_OUT", "redox.audit.clinic-a", "redox.turn.clinic-a",
			"$JS.API.STREAM.INFO.KV_REDOX_LEDGER", "$JS.API.STREAM.INFO.KV_REDOX_STATE", "$JS.API.STREAM.INFO.OBJ_REDOX_BODIES",
			"$JS.API.STREAM.MSG.GET.KV_REDOX_LEDGER", "$JS.API.DIRECT.GET.KV_REDOX_STATE.$KV.REDOX_STATE.k", "$JS.API.STREAM.MSG.GET.OBJ_REDOX_BODIES",
			"$JS.API.STREAM.PURGE.OBJ_REDOX_BODIES", "$KV.REDOX_LEDGER.k", "$KV.REDOX_STATE.k", "$O.REDOX_BODIES.C.x",
			"$JS.API.STREAM.MSG.GET.REDOX_DLQ", "$JS.API.STREAM.MSG.GET.REDOX_REPLIES",
			"$JS.API.STREAM.INFO.REDOX_DLQ", "$JS.API.STREAM.INFO.REDOX_REPLIES",
			"$JS.API.STREAM.INFO.REDOX_ADVISORIES", "$JS.API.STREAM.INFO.REDOX_AUDIT", "$JS.API.STREAM.INFO.REDOX_RECONCILE", "$JS.API.STREAM.INFO.REDOX_EVENTS",
			"$JS.API.CONSUMER.INFO.REDOX_RECONCILE.reconcile", "$JS.API.CONSUMER.MSG.NEXT.REDOX_RECONCILE.reconcile",
			"$JS.ACK.REDOX_RECONCILE.reconcile.1.1.1.1.0", "$JS.ACK._.ACC.REDOX_RECONCILE.reconcile.1.1.1.1.0",
			"redox.reconcile.clinic-a", "redox.event.clinic-a.failed",
			"$JS.API.STREAM.INFO.KV_REDOX_SOURCES", "$JS.API.DIRECT.GET.KV_REDOX_SOURCES",
		}),
		subscribe: []string{"_INBOX_worker.>", "_INBOX_worker.x", "redox.wake.>", "redox.wake.clinic-a.>", "redox.wake.clinic-a.send", "redox.wake.clinic-a.send." + token, "redox.wake.*.send",
			"redox.turn.*", "redox.turn.clinic-a", "redox.gateway.>", "redox.gateway.clinic-a.send", "redox.worker.>", "redox.worker.status", "redox.worker.sources.x", "$SRV.>", "$SRV.PING"},
	},
	relay: {
		publish: slices.Concat(storing, []string{"$JS.API.INFO", "$JS.API.STREAM.INFO.REDOX_OUT", "$JS.API.STREAM.INFO.OBJ_REDOX_BODIES",
			"$JS.API.STREAM.MSG.GET.OBJ_REDOX_BODIES", "$JS.API.STREAM.PURGE.OBJ_REDOX_BODIES", "$O.REDOX_BODIES.C.x"}),
		subscribe: []string{"_INBOX_relay.>", "_INBOX_relay.x"},
	},
	console: {
		publish: slices.Concat(storing, consoleAPI, []string{
			"$JS.ACK.REDOX_DLQ.browse.1.1.1.1.0", "$KV.REDOX_LEDGER.k", "$KV.REDOX_STATE.k", "$O.REDOX_BODIES.C.x", "$SRV.PING", "$SRV.STATS.redox-gateway",
			"redox.worker.status", "redox.worker.sources.x", "$KV.REDOX_SOURCES.source.clinic-a", "redox.audit.clinic-a.deed", "redox.audit._.deed",
		}),
		subscribe: []string{"_INBOX_console.>", "_INBOX_console.x", "redox.reply.>", "redox.reply.clinic-a.>", "redox.reply.clinic-a.id", "redox.reply.clinic-b.>", "redox.reply.clinic-b.id", "redox.reply.*.id"},
	},
	operator: {
		publish: slices.Concat(storing, without(jetStreamAPI,
			"$JS.API.STREAM.DELETE.REDOX_OUT", "$JS.API.STREAM.DELETE.REDOX_DLQ", "$JS.API.STREAM.DELETE.KV_REDOX_LEDGER",
			"$JS.API.STREAM.PURGE.REDOX_OUT", "$JS.API.STREAM.MSG.DELETE.REDOX_OUT", "$JS.API.STREAM.PURGE.REDOX_AUDIT", "$JS.API.STREAM.MSG.DELETE.REDOX_AUDIT"),
			[]string{
				"$JS.ACK.REDOX_ADVISORIES.sweeper.1.1.1.1.0", "$JS.ACK.REDOX_OUT.clinic-a-send.1.1.1.1.0", "$JS.ACK.REDOX_DLQ.browse.1.1.1.1.0", "$JS.ACK._.ACC.REDOX_OUT.clinic-a-send.1.1.1.1.0",
				"$JS.ACK.REDOX_RECONCILE.reconcile.1.1.1.1.0", "$JS.ACK._.ACC.REDOX_RECONCILE.reconcile.1.1.1.1.0",
				"$KV.REDOX_LEDGER.k", "$KV.REDOX_STATE.k", "$O.REDOX_BODIES.C.x", "$SRV.PING", "$SRV.STATS.redox-gateway", "redox.worker.status", "redox.worker.sources.x",
				"$KV.REDOX_SOURCES.source.clinic-a", "redox.audit.clinic-a.deed", "redox.audit._.deed",
				"redox.dlq.clinic-a.rejected." + token,
			}),
		subscribe: []string{"_INBOX_operator.>", "_INBOX_operator.x", "redox.reply.>", "redox.reply.clinic-a.>", "redox.reply.clinic-a.id",
			"redox.reply.clinic-b.>", "redox.reply.clinic-b.id", "redox.reply.*.id", "$JS.EVENT.>"},
	},
}

func without(all []string, some ...string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(some, s) })
}

var jetStreamAPI = []string{
	"$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST",
	"$JS.API.STREAM.INFO.REDOX_OUT", "$JS.API.STREAM.INFO.REDOX_DLQ", "$JS.API.STREAM.INFO.REDOX_REPLIES",
	"$JS.API.STREAM.INFO.REDOX_ADVISORIES", "$JS.API.STREAM.INFO.REDOX_AUDIT", "$JS.API.STREAM.INFO.REDOX_RECONCILE", "$JS.API.STREAM.INFO.REDOX_EVENTS",
	"$JS.API.STREAM.INFO.KV_REDOX_LEDGER", "$JS.API.STREAM.INFO.KV_REDOX_STATE", "$JS.API.STREAM.INFO.OBJ_REDOX_BODIES",
	"$JS.API.STREAM.INFO.KV_REDOX_SOURCES", "$JS.API.DIRECT.GET.KV_REDOX_SOURCES",
	"$JS.API.STREAM.CREATE.REDOX_OUT", "$JS.API.STREAM.CREATE.THIEF", "$JS.API.STREAM.UPDATE.REDOX_OUT",
	"$JS.API.STREAM.DELETE.REDOX_OUT", "$JS.API.STREAM.DELETE.REDOX_DLQ", "$JS.API.STREAM.DELETE.KV_REDOX_LEDGER",
	"$JS.API.STREAM.PURGE.REDOX_OUT", "$JS.API.STREAM.PURGE.REDOX_DLQ", "$JS.API.STREAM.PURGE.OBJ_REDOX_BODIES",
	"$JS.API.STREAM.SNAPSHOT.REDOX_OUT", "$JS.API.STREAM.RESTORE.REDOX_OUT",
	"$JS.API.STREAM.MSG.GET.REDOX_OUT", "$JS.API.STREAM.MSG.GET.REDOX_DLQ", "$JS.API.STREAM.MSG.GET.REDOX_REPLIES",
	"$JS.API.STREAM.MSG.GET.KV_REDOX_LEDGER", "$JS.API.STREAM.MSG.GET.KV_REDOX_STATE", "$JS.API.STREAM.MSG.GET.OBJ_REDOX_BODIES",
	"$JS.API.STREAM.MSG.DELETE.REDOX_OUT", "$JS.API.STREAM.MSG.DELETE.REDOX_DLQ", "$JS.API.STREAM.PURGE.REDOX_AUDIT", "$JS.API.STREAM.MSG.DELETE.REDOX_AUDIT",
	"$JS.API.CONSUMER.NAMES.REDOX_OUT", "$JS.API.CONSUMER.LIST.REDOX_OUT",
	"$JS.API.CONSUMER.CREATE.REDOX_OUT", "$JS.API.CONSUMER.CREATE.REDOX_OUT.clinic-a-send", "$JS.API.CONSUMER.CREATE.REDOX_REPLIES",
	"$JS.API.CONSUMER.CREATE.REDOX_OUT.clinic-a-request.redox.out.clinic-a.request", "$JS.API.CONSUMER.CREATE.REDOX_RECONCILE.reconcile",
	"$JS.API.CONSUMER.CREATE.REDOX_ADVISORIES.sweeper", "$JS.API.CONSUMER.CREATE.REDOX_ADVISORIES.other", "$JS.API.CONSUMER.CREATE.REDOX_RECONCILE.other",
	"$JS.API.CONSUMER.CREATE.REDOX_REPLIES.x.redox.reply.clinic-a.>", "$JS.API.CONSUMER.CREATE.KV_REDOX_STATE.x",
	"$JS.API.CONSUMER.DURABLE.CREATE.REDOX_OUT.clinic-a-send", "$JS.API.CONSUMER.DELETE.REDOX_OUT.clinic-a-send",
	"$JS.API.CONSUMER.PAUSE.REDOX_OUT.clinic-a-send", "$JS.API.CONSUMER.RESET.REDOX_OUT.clinic-a-send",
	"$JS.API.CONSUMER.INFO.REDOX_OUT.clinic-a-send", "$JS.API.CONSUMER.INFO.REDOX_DLQ.browse",
	"$JS.API.CONSUMER.CREATE.REDOX_DLQ.browse.redox.dlq.clinic-a.held.x", "$JS.API.CONSUMER.DELETE.REDOX_DLQ.browse",
	"$JS.API.CONSUMER.MSG.NEXT.REDOX_OUT.clinic-a-request", "$JS.API.CONSUMER.MSG.NEXT.REDOX_DLQ.browse",
	"$JS.API.CONSUMER.INFO.REDOX_ADVISORIES.sweeper", "$JS.API.CONSUMER.MSG.NEXT.REDOX_ADVISORIES.sweeper",
	"$JS.API.CONSUMER.INFO.REDOX_RECONCILE.reconcile", "$JS.API.CONSUMER.MSG.NEXT.REDOX_RECONCILE.reconcile", "$JS.API.CONSUMER.INFO.REDOX_EVENTS.x",
	"$JS.API.DIRECT.GET.REDOX_REPLIES", "$JS.API.DIRECT.GET.REDOX_DLQ", "$JS.API.DIRECT.GET.REDOX_DLQ.redox.dlq.clinic-a.held." + token,
	"$JS.API.DIRECT.GET.REDOX_REPLIES.redox.reply.clinic-a.id", "$JS.API.DIRECT.GET.REDOX_REPLIES.redox.reply.clinic-a.a.b",
	"$JS.API.CONSUMER.INFO.REDOX_REPLIES.clinic-a-replies", "$JS.API.CONSUMER.MSG.NEXT.REDOX_REPLIES.clinic-a-replies", "$JS.ACK.REDOX_REPLIES.clinic-a-replies.1.1.1.1.0",
	"$JS.API.CONSUMER.INFO.REDOX_REPLIES.clinic-b-replies", "$JS.API.CONSUMER.MSG.NEXT.REDOX_REPLIES.clinic-b-replies", "$JS.ACK.REDOX_REPLIES.clinic-b-replies.1.1.1.1.0",
	"$JS.API.CONSUMER.INFO.REDOX_REPLIES.clinic-a-replies-more", "$JS.API.CONSUMER.CREATE.REDOX_REPLIES.clinic-a-replies.redox.reply.clinic-a.>", "$JS.API.CONSUMER.DELETE.REDOX_REPLIES.clinic-a-replies",
	"$JS.API.DIRECT.GET.REDOX_REPLIES.redox.reply.clinic-b.id", "$JS.API.DIRECT.GET.REDOX_REPLIES.redox.reply.clinic-b.a.b",
	"$JS.API.DIRECT.GET.KV_REDOX_LEDGER.$KV.REDOX_LEDGER.k", "$JS.API.DIRECT.GET.KV_REDOX_STATE.$KV.REDOX_STATE.k",
}

// consoleAPI is what of it somebody may ask who sees everything and changes no stream.
var consoleAPI = slices.DeleteFunc(slices.Clone(jetStreamAPI), func(subject string) bool {
	kind, stream, _ := strings.Cut(strings.TrimPrefix(subject, "$JS.API."), "REDOX_")
	switch kind {
	case "INFO", "STREAM.NAMES", "STREAM.LIST", "STREAM.INFO.", "STREAM.INFO.KV_", "STREAM.INFO.OBJ_", "STREAM.MSG.GET.", "STREAM.MSG.GET.KV_", "STREAM.MSG.GET.OBJ_",
		"DIRECT.GET.", "DIRECT.GET.KV_", "CONSUMER.NAMES.", "CONSUMER.LIST.", "CONSUMER.INFO.", "CONSUMER.CREATE.KV_", "STREAM.PURGE.OBJ_":
		return false
	case "CONSUMER.CREATE.", "CONSUMER.MSG.NEXT.", "CONSUMER.DELETE.", "STREAM.MSG.DELETE.":
		return !strings.HasPrefix(stream, "DLQ") && (kind == "STREAM.MSG.DELETE." || !strings.HasPrefix(stream, "REPLIES."))
	}
	return true
})

var publishSubjects = slices.Concat(storing, jetStreamAPI, []string{
	"redox.out.clinic-a", "redox.out.clinic-a.other", "redox.wake.clinic-a.send", "redox.turn.clinic-a", "redox.out.clinic-a.send.a.b", "redox.out.clinic-a.request.x",
	"redox.gateway.clinic-a.send", "redox.gateway.clinic-a.request",
	"redox.gateway.clinic-b.send", "redox.gateway.clinic-b.request", "redox.dlq.clinic-a.rejected." + token,
	"redox.reply.clinic-a.id", "redox.reply.clinic-b.id", "redox.reply.clinic-a.a.b",
	"_INBOX.x", "_INBOX_operator.x", "_INBOX_worker.x", "_INBOX_clinic-a.x", "_INBOX_clinic-b.x", "_INBOX_gateway-client.x", "_INBOX_relay.x", "_INBOX_console.x",
	"$JS.ACK.REDOX_OUT.clinic-a-send.1.1.1.1.0", "$JS.ACK._.ACC.REDOX_OUT.clinic-a-send.1.1.1.1.0", "$JS.ACK.REDOX_DLQ.browse.1.1.1.1.0",
	"$JS.ACK.REDOX_ADVISORIES.sweeper.1.1.1.1.0", "redox.audit.clinic-a", "redox.audit.clinic-a.deed", "redox.audit._.deed",
	"$JS.ACK.REDOX_RECONCILE.reconcile.1.1.1.1.0", "$JS.ACK._.ACC.REDOX_RECONCILE.reconcile.1.1.1.1.0",
	"redox.reconcile.clinic-a", "redox.event.clinic-a.failed", "redox.worker.status", "redox.worker.sources.x",
	"$KV.REDOX_LEDGER.k", "$KV.REDOX_STATE.k", "$KV.REDOX_SOURCES.source.clinic-a", "$KV.OTHER.k", "$O.REDOX_BODIES.C.x", "$O.OTHER.C.x",
	"$SRV.PING", "$SRV.STATS.redox-gateway", "$SYS.REQ.SERVER.PING", "$SYS.REQ.ACCOUNT.REDOX.INFO", "anything.else",
})

var subscribeSubjects = []string{
	">", "*", "redox.>", "redox.out.>", "redox.out.clinic-a.>", "redox.out.clinic-b.send", "redox.dlq.>", "redox.gateway.>",
	"redox.wake.>", "redox.wake.clinic-a.>", "redox.wake.clinic-a.send", "redox.wake.clinic-a.send." + token, "redox.wake.*.send", "redox.turn.*", "redox.turn.clinic-a",
	"redox.worker.>", "redox.worker.status", "redox.worker.sources.x", "redox.gateway.clinic-a.send", "redox.reply.>", "redox.reply.*.id", "redox.reply.clinic-a.>", "redox.reply.clinic-a.id",
	"redox.reply.clinic-b.>", "redox.reply.clinic-b.id", "_INBOX.>", "_INBOX.x", "_INBOX_operator.>", "_INBOX_operator.x",
	"_INBOX_worker.>", "_INBOX_worker.x", "_INBOX_clinic-a.>", "_INBOX_clinic-a.x", "_INBOX_clinic-b.>", "_INBOX_clinic-b.x",
	"_INBOX_gateway-client.>", "_INBOX_gateway-client.x", "_INBOX_relay.>", "_INBOX_relay.x", "_INBOX_console.>", "_INBOX_console.x", "_R_.>", "$JS.>", "$JS.API.>", "$JS.ACK.>", "$JS.EVENT.>",
	"$KV.>", "$KV.REDOX_STATE.>", "$O.>", "$SRV.>", "$SRV.PING", "$SYS.>",
}
