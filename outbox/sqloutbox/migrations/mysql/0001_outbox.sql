-- Messages that are committed and not yet in the work queue. A row is deleted when NATS has
-- confirmed it. An INSERT names id, source, token, request and message; the rest has defaults.
CREATE TABLE redox_outbox (
  seq     bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
  id      varchar(200) CHARACTER SET ascii COLLATE ascii_bin NOT NULL CHECK (id REGEXP '^[!-~]+$'),
  source  varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL CHECK (source REGEXP '^[a-z0-9-]+$'),
  token   varchar(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '' CHECK (token REGEXP '^([0-9a-f]{32})?$'),
  request smallint NOT NULL DEFAULT 0,
  lane    smallint GENERATED ALWAYS AS
          (CASE WHEN token = '' THEN mod(ascii(right(id, 1)), 16) ELSE instr('0123456789abcdef', left(token, 1)) - 1 END) STORED,
  created timestamp(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  sealed  smallint NOT NULL DEFAULT 0,
  message longblob NOT NULL,
  KEY redox_outbox_lane_seq (lane, seq),
  CHECK (request = 0 OR request = 1 AND token = '')
) ENGINE=InnoDB;

-- Rows that can never be published, or that wait for a person.
CREATE TABLE redox_outbox_failed (
  seq       bigint NOT NULL PRIMARY KEY,
  id        varchar(200) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  source    varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  token     varchar(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  request   smallint NOT NULL,
  lane      smallint NOT NULL,
  created   timestamp(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  sealed    smallint NOT NULL,
  message   longblob NOT NULL,
  failed    varchar(500) CHARACTER SET utf8mb4 NOT NULL,
  failed_at timestamp(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  KEY redox_outbox_failed_token (source, token)
) ENGINE=InnoDB;

-- A relay owns a lane while it has the lock of its row. generation changes where a row comes
-- back that has a lower seq than others.
CREATE TABLE redox_outbox_lane (
  lane       smallint NOT NULL PRIMARY KEY,
  generation bigint NOT NULL DEFAULT 0
) ENGINE=InnoDB;

INSERT INTO redox_outbox_lane (lane) VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9),(10),(11),(12),(13),(14),(15);

-- What relays were about to publish: written before, read by whoever owns the lane next. n rises
-- with each note of a lane, so that nobody reads past those that are deleted.
CREATE TABLE redox_outbox_try (
  lane   smallint NOT NULL,
  source varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  n      bigint NOT NULL,
  owner  varchar(100) CHARACTER SET utf8mb4 NOT NULL,
  at     double NOT NULL,
  tries  mediumtext CHARACTER SET ascii NOT NULL,
  PRIMARY KEY (lane, source, n)
) ENGINE=InnoDB;

-- Locked by a transaction that writes ordered rows: the first four hex digits of the token, as
-- a number, divided by 64. So each lane has 64 of them.
CREATE TABLE redox_outbox_stripe (
  n smallint NOT NULL PRIMARY KEY
) ENGINE=InnoDB;

INSERT INTO redox_outbox_stripe (n)
SELECT a.lane + 16 * b.lane + 256 * c.lane
FROM redox_outbox_lane AS a, redox_outbox_lane AS b, redox_outbox_lane AS c
WHERE c.lane < 4;
