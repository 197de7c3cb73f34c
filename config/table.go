package config

import "time"

func natsFields() []field {
	str := func(f func(*NATS) *string) func(any) any { return at(func(c *Config) *string { return f(&c.NATS) }) }
	sec := func(f func(*NATS) *Secret) func(any) any { return at(func(c *Config) *Secret { return f(&c.NATS) }) }
	return []field{
		{key: "nats.url", kind: kindServers, def: "nats://127.0.0.1:4222", doc: "servers, separated by commas",
			at: at(func(c *Config) *URL { return &c.NATS.URL })},
		{key: "nats.creds", kind: kindSecret, doc: "text of a NATS credentials file",
			at: sec(func(n *NATS) *Secret { return &n.Creds })},
		{key: "nats.creds_file", kind: kindSecretFile, doc: "NATS credentials file (JWT and seed)",
			at: str(func(n *NATS) *string { return &n.CredsFile })},
		{key: "nats.nkey", kind: kindSecret, doc: "NKey seed",
			at: sec(func(n *NATS) *Secret { return &n.NKey })},
		{key: "nats.nkey_file", kind: kindSecretFile, doc: "file with an NKey seed",
			at: str(func(n *NATS) *string { return &n.NKeyFile })},
		{key: "nats.user", kind: kindText, doc: "user name, with nats.password",
			at: str(func(n *NATS) *string { return &n.User })},
		{key: "nats.password", kind: kindSecret, doc: "password of nats.user",
			at: sec(func(n *NATS) *Secret { return &n.Password })},
		{key: "nats.password_file", kind: kindSecretFile, doc: "file with the password of nats.user",
			at: str(func(n *NATS) *string { return &n.PasswordFile })},
		{key: "nats.token", kind: kindSecret, doc: "NATS authentication token",
			at: sec(func(n *NATS) *Secret { return &n.Token })},
		{key: "nats.token_file", kind: kindSecretFile, doc: "file with a NATS authentication token",
			at: str(func(n *NATS) *string { return &n.TokenFile })},
		{key: "nats.context", kind: kindText, doc: "context of the nats command line tool to take the connection from",
			at: str(func(n *NATS) *string { return &n.Context })},
		{key: "nats.inbox_prefix", kind: kindText, doc: "prefix of reply inboxes; empty means _INBOX",
			at: str(func(n *NATS) *string { return &n.InboxPrefix })},
		{key: "nats.tls.ca_file", kind: kindFile, doc: "PEM file of the authority that signed the servers' certificates",
			at: str(func(n *NATS) *string { return &n.TLS.CAFile })},
		{key: "nats.tls.cert_file", kind: kindFile, doc: "PEM file of the client certificate",
			at: str(func(n *NATS) *string { return &n.TLS.CertFile })},
		{key: "nats.tls.key_file", kind: kindFile, private: true, doc: "PEM file of the client certificate's key",
			at: str(func(n *NATS) *string { return &n.TLS.KeyFile })},
		{key: "nats.prefix", kind: kindText, def: "redox", doc: "first token of subjects and, in upper case, of streams and buckets",
			at: str(func(n *NATS) *string { return &n.Prefix })},
		{key: "nats.replicas", kind: kindInteger, def: "1", values: []string{"1", "3", "5"}, doc: "copies of each stream: 1 on one server, 3 on a cluster",
			at: at(func(c *Config) *int { return &c.NATS.Replicas })},
		{key: "nats.provision", kind: kindText, def: ProvisionAuto, values: []string{ProvisionAuto, ProvisionNever}, doc: "whether run may create streams and consumers",
			at: str(func(n *NATS) *string { return &n.Provision })},
	}
}

func redoxFields() []field {
	str := func(f func(*Redox) *string) func(any) any { return at(func(c *Config) *string { return f(&c.Redox) }) }
	return []field{
		{key: "redox.base_url", kind: kindURL, def: "https://api.redoxengine.com", doc: "Redox's API",
			at: str(func(r *Redox) *string { return &r.BaseURL })},
		{key: "redox.blob_url", kind: kindURL, def: "https://blob.redoxengine.com", doc: "Redox's file store",
			at: str(func(r *Redox) *string { return &r.BlobURL })},
		{key: "redox.token_url", kind: kindURL, doc: "OAuth token endpoint; empty means base_url + /v2/auth/token",
			at: str(func(r *Redox) *string { return &r.TokenURL })},
		{key: "redox.legacy_url", kind: kindURL, doc: "parent of authenticate and refreshToken; empty means base_url + /auth",
			at: str(func(r *Redox) *string { return &r.LegacyURL })},
		{key: "redox.endpoint_path", kind: kindText, def: "/endpoint", doc: "path of the data model API below base_url",
			at: str(func(r *Redox) *string { return &r.EndpointPath })},
		{key: "redox.timeout", kind: kindDuration, def: "150s", least: "1ms", doc: "longest wait for one HTTP answer",
			at: at(func(c *Config) *time.Duration { return &c.Redox.Timeout })},
		{key: "redox.max_body", kind: kindSize, def: "10MB", least: "1", doc: "largest body of a message",
			at: at(func(c *Config) *int64 { return &c.Redox.MaxBody })},
		{key: "redox.ca_file", kind: kindFile, doc: "PEM file of a private authority; empty means the system's",
			at: str(func(r *Redox) *string { return &r.CAFile })},
		{key: "redox.proxy_url", kind: kindProxy, doc: "HTTP, HTTPS or SOCKS5 proxy; empty means HTTPS_PROXY and NO_PROXY",
			at: at(func(c *Config) *URL { return &c.Redox.ProxyURL })},
	}
}

func workerFields() []field {
	num := func(f func(*Worker) *int) func(any) any { return at(func(c *Config) *int { return f(&c.Worker) }) }
	dur := func(f func(*Worker) *time.Duration) func(any) any {
		return at(func(c *Config) *time.Duration { return f(&c.Worker) })
	}
	return []field{
		{key: "order.partitions", kind: kindInteger, def: "16", least: "1", most: "256", doc: "lanes of ordered messages, per source",
			at: at(func(c *Config) *int { return &c.Order.Partitions })},
		{key: "order.after_dead_letter", kind: kindText, def: AfterContinue, values: []string{AfterContinue, AfterHold}, doc: "what becomes of the messages behind a dead letter of the same order key",
			at: at(func(c *Config) *string { return &c.Order.AfterDeadLetter })},
		{key: "order.secret", kind: kindSecret, part: PartOrderSecret, doc: "turns order keys into tokens; publishers and the gateway only",
			at: at(func(c *Config) *Secret { return &c.Order.Secret })},
		{key: "order.secret_file", kind: kindSecretFile, part: PartOrderSecret, doc: "file with the order secret",
			at: at(func(c *Config) *string { return &c.Order.SecretFile })},
		{key: "worker.concurrency", kind: kindInteger, def: "64", least: "1", most: "10000", doc: "messages in flight in one process",
			at: num(func(w *Worker) *int { return &w.Concurrency })},
		{key: "worker.ack_wait", kind: kindDuration, def: "30s", least: "1s", doc: "lease of a message; another worker takes it when it is not renewed",
			at: dur(func(w *Worker) *time.Duration { return &w.AckWait })},
		{key: "worker.drain_timeout", kind: kindDuration, def: "30s", least: "0s", doc: "how long messages in flight may take to finish at shutdown",
			at: dur(func(w *Worker) *time.Duration { return &w.DrainTimeout })},
		{key: "worker.retry.initial", kind: kindDuration, def: "2s", least: "1ms", doc: "wait before the second attempt; doubles from there",
			at: dur(func(w *Worker) *time.Duration { return &w.Retry.Initial })},
		{key: "worker.retry.max", kind: kindDuration, def: "10m", least: "1ms", doc: "longest wait between attempts",
			at: dur(func(w *Worker) *time.Duration { return &w.Retry.Max })},
		{key: "worker.retry.max_age", kind: kindDuration, def: "24h", least: "0s", doc: "age at which a SEND is given up; 0s means never",
			at: dur(func(w *Worker) *time.Duration { return &w.Retry.MaxAge })},
		{key: "worker.retry.request_max_age", kind: kindDuration, def: "5m", least: "1ms", doc: "age at which a REQUEST without a deadline is given up",
			at: dur(func(w *Worker) *time.Duration { return &w.Retry.RequestMaxAge })},
		{key: "worker.retry.max_attempts", kind: kindInteger, def: "0", least: "0", most: "1000000", doc: "attempts after which a message is given up; 0 means no limit",
			at: num(func(w *Worker) *int { return &w.Retry.MaxAttempts })},
		{key: "worker.retry.poison_after", kind: kindInteger, def: "5", least: "0", most: "1000000", doc: "deliveries without an attempt's end after which a message is poison; 0 means never",
			at: num(func(w *Worker) *int { return &w.Retry.PoisonAfter })},
	}
}

func otherFields() []field {
	return []field{
		{key: "quota.requests", kind: kindInteger, def: "7500", least: "1", most: "100000000", doc: "requests allowed in each window",
			at: at(func(c *Config) *int { return &c.Quota.Requests })},
		{key: "quota.per", kind: kindDuration, def: "5m", least: "1s", doc: "length of the rolling window",
			at: at(func(c *Config) *time.Duration { return &c.Quota.Per })},
		{key: "quota.group", kind: kindText, def: "default", doc: "egress group: the workers that share one public address",
			at: at(func(c *Config) *string { return &c.Quota.Group })},
		{key: "quota.scope", kind: kindText, def: ScopeFleet, values: []string{ScopeFleet, ScopeProcess, ScopeNone}, doc: "who shares the quota",
			at: at(func(c *Config) *string { return &c.Quota.Scope })},
		{key: "quota.reserve_requests", kind: kindNumber, def: "0.2", least: "0", most: "1", below: true, doc: "share of the quota kept for waiting REQUESTs",
			at: at(func(c *Config) *float64 { return &c.Quota.ReserveRequests })},
		{key: "reply.allow", kind: kindList, def: "_INBOX.>", doc: "subjects that replies may go to besides <prefix>.reply.<source>.>; {source} is replaced",
			at: at(func(c *Config) *[]string { return &c.Reply.Allow })},
		{key: "dlq.max_age", kind: kindDuration, def: "0s", least: "0s", doc: "age at which dead letters are deleted; 0s means never",
			at: at(func(c *Config) *time.Duration { return &c.DLQ.MaxAge })},
		{key: "audit.file", kind: kindText, doc: "file that an entry of each settlement is appended to; empty means none",
			at: at(func(c *Config) *string { return &c.Audit.File })},
		{key: "audit.stream", kind: kindBoolean, def: "false", doc: "whether an entry of each settlement is stored in the audit stream",
			at: at(func(c *Config) *bool { return &c.Audit.Stream })},
		{key: "audit.max_age", kind: kindDuration, def: "0s", least: "0s", doc: "age at which entries of the audit stream are deleted; 0s means never",
			at: at(func(c *Config) *time.Duration { return &c.Audit.MaxAge })},
		{key: "gateway.enabled", kind: kindBoolean, def: "true", doc: "whether run serves the request gateway",
			at: at(func(c *Config) *bool { return &c.Gateway.Enabled })},
		{key: "gateway.max_wait", kind: kindDuration, def: "150s", least: "1ms", doc: "deadline of a gateway request that has none",
			at: at(func(c *Config) *time.Duration { return &c.Gateway.MaxWait })},
		{key: "admin.listen", kind: kindText, def: "127.0.0.1:8466", doc: "host:port of /livez, /readyz, /metrics and /version; off means none",
			at: at(func(c *Config) *string { return &c.Admin.Listen })},
		{key: "log.level", kind: kindText, def: "info", values: []string{"debug", "info", "warn", "error"}, doc: "least level that is logged",
			at: at(func(c *Config) *string { return &c.Log.Level })},
		{key: "log.format", kind: kindText, def: "auto", values: []string{"auto", "tint", "json"}, doc: "auto is tint on a terminal and json elsewhere",
			at: at(func(c *Config) *string { return &c.Log.Format })},
	}
}
