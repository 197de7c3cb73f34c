-- Messages that are committed and not yet in the work queue. A row is deleted when NATS has
-- confirmed it. An INSERT names id, source, token, request and message; the rest has defaults.
CREATE TABLE redox_outbox (
  seq     integer PRIMARY KEY AUTOINCREMENT,
  id      text NOT NULL CHECK (length(id) BETWEEN 1 AND 200 AND id NOT GLOB '*[^!-~]*'),
  source  text NOT NULL CHECK (length(source) BETWEEN 1 AND 64 AND source NOT GLOB '*[^a-z0-9-]*'),
  token   text NOT NULL DEFAULT '' CHECK (length(token) IN (0, 32) AND token NOT GLOB '*[^0-9a-f]*'),
  request integer NOT NULL DEFAULT 0 CHECK (request = 0 OR request = 1 AND token = ''),
  lane    integer NOT NULL DEFAULT 0 CHECK (lane = 0),
  created real NOT NULL DEFAULT ((julianday('now') - 2440587.5) * 86400.0),
  sealed  integer NOT NULL DEFAULT 0,
  message blob NOT NULL
);

-- Rows that can never be published, or that wait for a person.
CREATE TABLE redox_outbox_failed (
  seq       integer PRIMARY KEY,
  id        text NOT NULL,
  source    text NOT NULL,
  token     text NOT NULL,
  request   integer NOT NULL,
  lane      integer NOT NULL,
  created   real NOT NULL,
  sealed    integer NOT NULL,
  message   blob NOT NULL,
  failed    text NOT NULL,
  failed_at real NOT NULL DEFAULT ((julianday('now') - 2440587.5) * 86400.0)
);

CREATE INDEX redox_outbox_failed_token ON redox_outbox_failed (source, token);

-- A relay owns the lane until the time that stands in its row. generation changes where a row
-- comes back that has a lower seq than others.
CREATE TABLE redox_outbox_lane (
  lane       integer PRIMARY KEY,
  generation integer NOT NULL DEFAULT 0,
  owner      text NOT NULL DEFAULT '',
  until      real NOT NULL DEFAULT 0
);

INSERT INTO redox_outbox_lane (lane) VALUES (0);

-- What relays were about to publish: written before, read by whoever owns the lane next. n rises
-- with each note of a lane, so that nobody reads past those that are deleted.
CREATE TABLE redox_outbox_try (
  lane   integer NOT NULL,
  source text NOT NULL,
  n      integer NOT NULL,
  owner  text NOT NULL,
  at     real NOT NULL,
  tries  text NOT NULL,
  PRIMARY KEY (lane, source, n)
);
