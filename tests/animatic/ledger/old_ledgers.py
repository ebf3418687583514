"""Ledgers of older versions, made by the very statements that those versions of animatic made theirs with."""

import sqlite3
from contextlib import closing
from pathlib import Path

VERSION_1 = """
CREATE TABLE meta (name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (name));
CREATE TABLE run (run_id TEXT NOT NULL, manifest TEXT NOT NULL, started_at DATETIME NOT NULL, host TEXT NOT NULL,
  pid INTEGER NOT NULL, committed_usd FLOAT DEFAULT '0' NOT NULL, PRIMARY KEY (run_id));
CREATE TABLE take (fingerprint TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL, duration TEXT NOT NULL,
  request TEXT NOT NULL, PRIMARY KEY (fingerprint));
CREATE TABLE attempt (attempt_id INTEGER NOT NULL, fingerprint TEXT NOT NULL, attempt_no INTEGER NOT NULL,
  state TEXT NOT NULL, run_id TEXT NOT NULL, allowed_by TEXT NOT NULL, image_url TEXT NOT NULL, cost_usd FLOAT,
  intent_at DATETIME NOT NULL, submitted_at DATETIME, completed_at DATETIME, created_at DATETIME, prediction_id TEXT,
  prediction_status TEXT, outputs TEXT, has_nsfw_contents TEXT, inference_ms BIGINT, error_code BIGINT, error TEXT,
  polls INTEGER DEFAULT '0' NOT NULL, PRIMARY KEY (attempt_id), UNIQUE (fingerprint, attempt_no),
  FOREIGN KEY(fingerprint) REFERENCES take (fingerprint), FOREIGN KEY(run_id) REFERENCES run (run_id),
  UNIQUE (prediction_id));
CREATE UNIQUE INDEX one_live ON attempt (fingerprint)
  WHERE state IN ('completed', 'held', 'submitted', 'submitting', 'unknown');
CREATE INDEX submitting_now ON attempt (run_id) WHERE state = 'submitting';
INSERT INTO meta VALUES ('schema_version', '1');
"""

VERSION_2 = """
CREATE TABLE meta ( name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (name) );
CREATE TABLE run ( run_id TEXT NOT NULL, manifest TEXT NOT NULL, started_at DATETIME NOT NULL, host TEXT NOT
  NULL, pid INTEGER NOT NULL, committed_usd FLOAT DEFAULT '0' NOT NULL, PRIMARY KEY (run_id) );
CREATE TABLE take ( fingerprint TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL, duration TEXT NOT
  NULL, request TEXT NOT NULL, PRIMARY KEY (fingerprint) );
CREATE TABLE orphan ( prediction_id TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL, created_at
  DATETIME, found_at DATETIME NOT NULL, PRIMARY KEY (prediction_id) );
CREATE TABLE attempt ( attempt_id INTEGER NOT NULL, fingerprint TEXT NOT NULL, attempt_no INTEGER NOT NULL,
  state TEXT NOT NULL, run_id TEXT NOT NULL, allowed_by TEXT NOT NULL, image_url TEXT NOT NULL, cost_usd
  FLOAT, intent_at DATETIME NOT NULL, nonce TEXT DEFAULT '' NOT NULL, window_from DATETIME, window_to
  DATETIME, submitted_at DATETIME, completed_at DATETIME, created_at DATETIME, prediction_id TEXT,
  prediction_status TEXT, outputs TEXT, has_nsfw_contents TEXT, inference_ms BIGINT, error_code BIGINT, error
  TEXT, polls INTEGER DEFAULT '0' NOT NULL, absent_since DATETIME, candidates TEXT, settled_by TEXT, PRIMARY
  KEY (attempt_id), UNIQUE (fingerprint, attempt_no), FOREIGN KEY(fingerprint) REFERENCES take (fingerprint),
  FOREIGN KEY(run_id) REFERENCES run (run_id), UNIQUE (prediction_id) );
CREATE UNIQUE INDEX one_live ON attempt (fingerprint) WHERE state IN ('completed', 'held', 'submitted',
  'submitting', 'unknown');
CREATE INDEX unclear_now ON attempt (state, run_id) WHERE state IN ('held', 'submitting', 'unknown');
CREATE TABLE remark ( remark_id INTEGER NOT NULL, attempt_id INTEGER NOT NULL, run_id TEXT NOT NULL, made_at
  DATETIME NOT NULL, text TEXT NOT NULL, PRIMARY KEY (remark_id), FOREIGN KEY(attempt_id) REFERENCES attempt
  (attempt_id) );
INSERT INTO meta VALUES ('schema_version', '2'), ('ledger_id', 'abc');
"""

_PACE = """
CREATE TABLE starts ( block_id INTEGER NOT NULL, provider TEXT NOT NULL, starts INTEGER NOT NULL, until FLOAT
  NOT NULL, PRIMARY KEY (block_id) );
CREATE INDEX starts_by_provider ON starts (provider, until, starts);
CREATE TABLE pace ( provider TEXT NOT NULL, not_before FLOAT NOT NULL, refusals INTEGER NOT NULL, PRIMARY KEY
  (provider) );
CREATE TABLE places ( provider TEXT NOT NULL, run_id TEXT NOT NULL, held INTEGER NOT NULL, wanted INTEGER NOT
  NULL, asked_at FLOAT NOT NULL, PRIMARY KEY (provider, run_id) );
"""

VERSION_3 = VERSION_2 + _PACE + "UPDATE meta SET value = '3' WHERE name = 'schema_version';"

_TO_2 = """
DROP INDEX submitting_now;
ALTER TABLE attempt ADD COLUMN nonce TEXT DEFAULT '' NOT NULL;
ALTER TABLE attempt ADD COLUMN window_from DATETIME;
ALTER TABLE attempt ADD COLUMN window_to DATETIME;
ALTER TABLE attempt ADD COLUMN absent_since DATETIME;
ALTER TABLE attempt ADD COLUMN candidates TEXT;
ALTER TABLE attempt ADD COLUMN settled_by TEXT;
""" + "".join(
    f"{each};" for each in VERSION_2.split(";") if "TABLE remark" in each or "TABLE orphan" in each or "unclear" in each
)

VERSION_3_THAT_BEGAN_AS_1 = (
    VERSION_1
    + _TO_2
    + _PACE
    + "INSERT INTO meta VALUES ('ledger_id', 'abc'); UPDATE meta SET value = '3' WHERE name = 'schema_version';"
)

VERSION_4 = """
CREATE TABLE meta ( name TEXT NOT NULL, value TEXT NOT NULL, CONSTRAINT pk_meta PRIMARY KEY (name) );
CREATE TABLE alembic_version ( version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY
  (version_num) );
CREATE TABLE run ( run_id TEXT NOT NULL, run_no INTEGER NOT NULL, manifest TEXT NOT NULL, started_at DATETIME
  NOT NULL, host TEXT NOT NULL, pid INTEGER NOT NULL, committed_microusd BIGINT DEFAULT '0' NOT NULL, unpriced
  INTEGER DEFAULT '0' NOT NULL, CONSTRAINT pk_run PRIMARY KEY (run_id), CONSTRAINT uq_run_run_no UNIQUE (run_no)
  );
CREATE TABLE take ( fingerprint TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL, duration TEXT NOT
  NULL, request TEXT NOT NULL, CONSTRAINT pk_take PRIMARY KEY (fingerprint) );
CREATE TABLE alias ( fingerprint TEXT NOT NULL, take TEXT NOT NULL, is_apart INTEGER DEFAULT '0' NOT NULL,
  CONSTRAINT pk_alias PRIMARY KEY (fingerprint) );
CREATE INDEX ix_alias_take ON alias (take);
CREATE INDEX apart_now ON alias (take, fingerprint) WHERE is_apart = 1;
CREATE TABLE manifest ( manifest_id INTEGER NOT NULL, uri TEXT NOT NULL, content TEXT NOT NULL, CONSTRAINT
  pk_manifest PRIMARY KEY (manifest_id), CONSTRAINT uq_manifest_uri UNIQUE (uri) );
CREATE TABLE upload ( account TEXT NOT NULL, still TEXT NOT NULL, url TEXT NOT NULL, uploaded_at DATETIME NOT
  NULL, CONSTRAINT pk_upload PRIMARY KEY (account, still) );
CREATE TABLE orphan ( prediction_id TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL, created_at
  DATETIME, found_at DATETIME NOT NULL, CONSTRAINT pk_orphan PRIMARY KEY (prediction_id) );
CREATE TABLE starts ( block_id INTEGER NOT NULL, provider TEXT NOT NULL, starts INTEGER NOT NULL, until FLOAT
  NOT NULL, CONSTRAINT pk_starts PRIMARY KEY (block_id) );
CREATE INDEX starts_by_provider ON starts (provider, until, starts);
CREATE TABLE pace ( provider TEXT NOT NULL, not_before FLOAT NOT NULL, refusals INTEGER NOT NULL, CONSTRAINT
  pk_pace PRIMARY KEY (provider) );
CREATE TABLE places ( provider TEXT NOT NULL, run_id TEXT NOT NULL, held INTEGER NOT NULL, wanted INTEGER NOT
  NULL, asked_at FLOAT NOT NULL, CONSTRAINT pk_places PRIMARY KEY (provider, run_id) );
CREATE TABLE attempt ( attempt_id INTEGER NOT NULL, fingerprint TEXT NOT NULL, attempt_no INTEGER NOT NULL,
  state TEXT NOT NULL, run_id TEXT NOT NULL, allowed_by TEXT NOT NULL, image_url TEXT NOT NULL, quoted_microusd
  BIGINT, intent_at DATETIME NOT NULL, nonce TEXT DEFAULT '' NOT NULL, window_from DATETIME, window_to DATETIME,
  submitted_at DATETIME, completed_at DATETIME, created_at DATETIME, prediction_id TEXT, prediction_status TEXT,
  prediction_model TEXT, outputs TEXT, has_nsfw_contents TEXT, inference_ms BIGINT, error_code BIGINT, error
  TEXT, polls INTEGER DEFAULT '0' NOT NULL, absent_since DATETIME, candidates TEXT, settled_by TEXT, held_for
  TEXT, ended_run_no INTEGER, CONSTRAINT pk_attempt PRIMARY KEY (attempt_id), CONSTRAINT
  uq_attempt_fingerprint_attempt_no UNIQUE (fingerprint, attempt_no), CONSTRAINT fk_attempt_fingerprint_take
  FOREIGN KEY(fingerprint) REFERENCES take (fingerprint), CONSTRAINT fk_attempt_run_id_run FOREIGN KEY(run_id)
  REFERENCES run (run_id), CONSTRAINT uq_attempt_prediction_id UNIQUE (prediction_id) );
CREATE INDEX unclear_now ON attempt (state, run_id) WHERE state IN ('held', 'submitting', 'unknown');
CREATE UNIQUE INDEX one_live ON attempt (fingerprint) WHERE state IN ('completed', 'held', 'submitted',
  'submitting', 'unknown');
CREATE TABLE planned ( planned_id INTEGER NOT NULL, manifest_id INTEGER NOT NULL, "row" INTEGER NOT NULL, take
  INTEGER NOT NULL, storyboard TEXT NOT NULL, shot_id TEXT NOT NULL, fingerprint TEXT NOT NULL, planned_at
  DATETIME NOT NULL, CONSTRAINT pk_planned PRIMARY KEY (planned_id), CONSTRAINT uq_planned_once UNIQUE
  (manifest_id, "row", take, fingerprint, shot_id, storyboard), CONSTRAINT fk_planned_manifest_id_manifest
  FOREIGN KEY(manifest_id) REFERENCES manifest (manifest_id) );
CREATE INDEX ix_planned_shot_id ON planned (shot_id);
CREATE TABLE remark ( remark_id INTEGER NOT NULL, attempt_id INTEGER NOT NULL, run_id TEXT NOT NULL, made_at
  DATETIME NOT NULL, text TEXT NOT NULL, CONSTRAINT pk_remark PRIMARY KEY (remark_id), CONSTRAINT
  fk_remark_attempt_id_attempt FOREIGN KEY(attempt_id) REFERENCES attempt (attempt_id) );
INSERT INTO meta VALUES ('schema_version', '4'), ('ledger_id', 'abc'), ('intents', '3');
INSERT INTO alembic_version VALUES ('0004');
"""

OLD = {
    "1": VERSION_1,
    "2": VERSION_2,
    "3": VERSION_3,
    "3 that began as 1": VERSION_3_THAT_BEGAN_AS_1,
}


def write(path: Path, *scripts: str) -> None:
    with closing(sqlite3.connect(path)) as old:
        for script in scripts:
            old.executescript(script)
