-- A ledger of schema 15, the oldest that PostgreSQL held: the statements that made its tables then, and the rows that
-- the code of that version wrote in two runs, the second of which died while it submitted.
CREATE TABLE meta (name TEXT NOT NULL, value TEXT NOT NULL, CONSTRAINT pk_meta PRIMARY KEY (name));
CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY
  (version_num));
CREATE TABLE run (run_id TEXT NOT NULL, run_no INTEGER NOT NULL, manifest TEXT NOT NULL, started_at TIMESTAMP WITHOUT
  TIME ZONE NOT NULL, host TEXT NOT NULL, pid INTEGER NOT NULL, committed_microusd BIGINT DEFAULT '0' NOT NULL,
  unpriced INTEGER DEFAULT '0' NOT NULL, flow_run_id TEXT, CONSTRAINT pk_run PRIMARY KEY (run_id), CONSTRAINT
  uq_run_run_no UNIQUE (run_no));
CREATE TABLE take (fingerprint TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL, duration TEXT NOT NULL,
  request TEXT NOT NULL, CONSTRAINT pk_take PRIMARY KEY (fingerprint));
CREATE TABLE alias (fingerprint TEXT NOT NULL, take TEXT NOT NULL, is_apart INTEGER DEFAULT '0' NOT NULL, CONSTRAINT
  pk_alias PRIMARY KEY (fingerprint));
CREATE INDEX apart_now ON alias (take, fingerprint) WHERE is_apart = 1;
CREATE INDEX ix_alias_take ON alias (take);
CREATE TABLE manifest (manifest_id SERIAL NOT NULL, uri TEXT NOT NULL, content TEXT NOT NULL, num_rows INTEGER,
  CONSTRAINT pk_manifest PRIMARY KEY (manifest_id), CONSTRAINT uq_manifest_uri UNIQUE (uri));
CREATE TABLE chain (fingerprint TEXT NOT NULL, key TEXT NOT NULL, source TEXT NOT NULL, CONSTRAINT pk_chain PRIMARY
  KEY (fingerprint));
CREATE INDEX ix_chain_key ON chain (key);
CREATE INDEX ix_chain_source ON chain (source);
CREATE TABLE upload (account TEXT NOT NULL, still TEXT NOT NULL, url TEXT NOT NULL, uploaded_at TIMESTAMP WITHOUT TIME
  ZONE NOT NULL, CONSTRAINT pk_upload PRIMARY KEY (account, still));
CREATE TABLE look (look_id SERIAL NOT NULL, still TEXT NOT NULL, address TEXT NOT NULL, width INTEGER NOT NULL, height
  INTEGER NOT NULL, format TEXT NOT NULL, sha256 TEXT, size_bytes BIGINT, etag TEXT, last_modified TEXT, looked_at
  TIMESTAMP WITHOUT TIME ZONE NOT NULL, CONSTRAINT pk_look PRIMARY KEY (look_id));
CREATE INDEX ix_look_address ON look (address);
CREATE INDEX ix_look_looked_at ON look (looked_at);
CREATE TABLE orphan (prediction_id TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL, created_at TIMESTAMP
  WITHOUT TIME ZONE, found_at TIMESTAMP WITHOUT TIME ZONE NOT NULL, CONSTRAINT pk_orphan PRIMARY KEY (prediction_id));
CREATE TABLE charge (provider TEXT NOT NULL, item TEXT NOT NULL, kind TEXT NOT NULL, prediction_id TEXT, model TEXT
  NOT NULL, microusd BIGINT, charged_at TIMESTAMP WITHOUT TIME ZONE, order_state TEXT NOT NULL, seen_at TIMESTAMP
  WITHOUT TIME ZONE NOT NULL, CONSTRAINT pk_charge PRIMARY KEY (provider, item));
CREATE INDEX ix_charge_prediction_id ON charge (prediction_id);
CREATE TABLE inbox (provider TEXT NOT NULL, uri TEXT NOT NULL, mark TEXT NOT NULL, marked_at TIMESTAMP WITHOUT TIME
  ZONE NOT NULL, content TEXT, results TEXT DEFAULT '' NOT NULL, state TEXT NOT NULL, holder TEXT, runs INTEGER
  DEFAULT '0' NOT NULL, counts TEXT, spent_microusd BIGINT, problem TEXT, ended_at TIMESTAMP WITHOUT TIME ZONE,
  CONSTRAINT pk_inbox PRIMARY KEY (provider, uri));
CREATE TABLE spending (provider TEXT NOT NULL, day DATE NOT NULL, reserved_microusd BIGINT DEFAULT '0' NOT NULL,
  unpriced INTEGER DEFAULT '0' NOT NULL, CONSTRAINT pk_spending PRIMARY KEY (provider, day));
CREATE TABLE starts (block_id SERIAL NOT NULL, provider TEXT NOT NULL, starts INTEGER NOT NULL, until FLOAT NOT NULL,
  CONSTRAINT pk_starts PRIMARY KEY (block_id));
CREATE INDEX starts_by_provider ON starts (provider, until, starts);
CREATE TABLE pace (provider TEXT NOT NULL, not_before FLOAT NOT NULL, refusals INTEGER NOT NULL, CONSTRAINT pk_pace
  PRIMARY KEY (provider));
CREATE TABLE slots (provider TEXT NOT NULL, run_id TEXT NOT NULL, held INTEGER NOT NULL, wanted INTEGER NOT NULL,
  asked_at FLOAT NOT NULL, CONSTRAINT pk_slots PRIMARY KEY (provider, run_id));
CREATE TABLE attempt (attempt_id SERIAL NOT NULL, fingerprint TEXT NOT NULL, attempt_no INTEGER NOT NULL, state TEXT
  NOT NULL, run_id TEXT NOT NULL, allowed_by TEXT NOT NULL, quoted_microusd BIGINT, intent_at TIMESTAMP WITHOUT TIME
  ZONE NOT NULL, nonce TEXT DEFAULT '' NOT NULL, window_from TIMESTAMP WITHOUT TIME ZONE, window_to TIMESTAMP WITHOUT
  TIME ZONE, submitted_at TIMESTAMP WITHOUT TIME ZONE, completed_at TIMESTAMP WITHOUT TIME ZONE, created_at TIMESTAMP
  WITHOUT TIME ZONE, prediction_id TEXT, prediction_status TEXT, prediction_model TEXT, outputs TEXT,
  has_nsfw_contents TEXT, inference_ms BIGINT, error_code BIGINT, error TEXT, polls INTEGER DEFAULT '0' NOT NULL,
  absent_since TIMESTAMP WITHOUT TIME ZONE, candidates TEXT, settled_by TEXT, held_for TEXT, ended_run_no INTEGER,
  uploads TEXT, renewal INTEGER DEFAULT '0' NOT NULL, spent_on DATE, CONSTRAINT pk_attempt PRIMARY KEY (attempt_id),
  CONSTRAINT uq_attempt_fingerprint_attempt_no UNIQUE (fingerprint, attempt_no), CONSTRAINT
  fk_attempt_fingerprint_take FOREIGN KEY(fingerprint) REFERENCES take (fingerprint), CONSTRAINT fk_attempt_run_id_run
  FOREIGN KEY(run_id) REFERENCES run (run_id), CONSTRAINT uq_attempt_prediction_id UNIQUE (prediction_id));
CREATE INDEX unclear_now ON attempt (state, run_id) WHERE state IN ('held', 'submitting', 'unknown');
CREATE UNIQUE INDEX one_live ON attempt (fingerprint, renewal) WHERE state IN ('completed', 'held', 'submitted',
  'submitting', 'unknown');
CREATE TABLE planned (planned_id SERIAL NOT NULL, manifest_id INTEGER NOT NULL, row INTEGER NOT NULL, take INTEGER NOT
  NULL, storyboard TEXT NOT NULL, shot_id TEXT NOT NULL, fingerprint TEXT NOT NULL, planned_at TIMESTAMP WITHOUT TIME
  ZONE NOT NULL, CONSTRAINT pk_planned PRIMARY KEY (planned_id), CONSTRAINT uq_planned_once UNIQUE (manifest_id, row,
  take, fingerprint, shot_id, storyboard), CONSTRAINT fk_planned_manifest_id_manifest FOREIGN KEY(manifest_id)
  REFERENCES manifest (manifest_id));
CREATE INDEX ix_planned_shot_id ON planned (shot_id);
CREATE TABLE attempt_look (attempt_id INTEGER NOT NULL, still TEXT NOT NULL, look_id INTEGER NOT NULL, is_later
  INTEGER DEFAULT '0' NOT NULL, CONSTRAINT pk_attempt_look PRIMARY KEY (attempt_id, still), CONSTRAINT
  fk_attempt_look_attempt_id_attempt FOREIGN KEY(attempt_id) REFERENCES attempt (attempt_id), CONSTRAINT
  fk_attempt_look_look_id_look FOREIGN KEY(look_id) REFERENCES look (look_id));
CREATE TABLE clip (clip_id SERIAL NOT NULL, attempt_id INTEGER NOT NULL, output INTEGER NOT NULL, archive TEXT NOT
  NULL, name TEXT NOT NULL, name_key TEXT NOT NULL, run_id TEXT NOT NULL, file TEXT, sha256 TEXT, size_bytes BIGINT,
  container TEXT, codec TEXT, duration_s FLOAT, width INTEGER, height INTEGER, fps FLOAT, frames INTEGER, archived_at
  TIMESTAMP WITHOUT TIME ZONE, error TEXT, CONSTRAINT pk_clip PRIMARY KEY (clip_id), CONSTRAINT
  uq_clip_archive_name_key UNIQUE (archive, name_key), CONSTRAINT fk_clip_attempt_id_attempt FOREIGN KEY(attempt_id)
  REFERENCES attempt (attempt_id));
CREATE INDEX clip_by_attempt ON clip (attempt_id, output);
CREATE TABLE quality (attempt_id INTEGER NOT NULL, output INTEGER NOT NULL, sha256 TEXT NOT NULL, version INTEGER NOT
  NULL, failed TEXT NOT NULL, first_frame_similarity FLOAT, black_fraction FLOAT, frozen_fraction FLOAT, cuts INTEGER,
  motion FLOAT, checked_at TIMESTAMP WITHOUT TIME ZONE NOT NULL, CONSTRAINT pk_quality PRIMARY KEY (attempt_id,
  output), CONSTRAINT fk_quality_attempt_id_attempt FOREIGN KEY(attempt_id) REFERENCES attempt (attempt_id));
CREATE TABLE remark (remark_id SERIAL NOT NULL, attempt_id INTEGER NOT NULL, run_id TEXT NOT NULL, made_at TIMESTAMP
  WITHOUT TIME ZONE NOT NULL, text TEXT NOT NULL, CONSTRAINT pk_remark PRIMARY KEY (remark_id), CONSTRAINT
  fk_remark_attempt_id_attempt FOREIGN KEY(attempt_id) REFERENCES attempt (attempt_id));
CREATE VIEW newest_attempt AS SELECT attempt.attempt_id, attempt.fingerprint, attempt.attempt_no, attempt.state,
  attempt.run_id, attempt.allowed_by, attempt.quoted_microusd, attempt.intent_at, attempt.nonce, attempt.window_from,
  attempt.window_to, attempt.submitted_at, attempt.completed_at, attempt.created_at, attempt.prediction_id,
  attempt.prediction_status, attempt.prediction_model, attempt.outputs, attempt.has_nsfw_contents,
  attempt.inference_ms, attempt.error_code, attempt.error, attempt.polls, attempt.absent_since, attempt.candidates,
  attempt.settled_by, attempt.held_for, attempt.ended_run_no, attempt.uploads, attempt.renewal, attempt.spent_on,
  (SELECT count(*) AS count_1 FROM attempt AS each WHERE each.fingerprint = attempt.fingerprint AND (each.state =
  'completed' OR each.state = 'failed' OR each.state = 'held' OR each.state = 'submitted' OR each.state = 'unknown'))
  AS attempts, (SELECT CASE WHEN (count(*) = count(each.quoted_microusd)) THEN coalesce(sum(each.quoted_microusd), 0)
  END AS anon_1 FROM attempt AS each WHERE each.fingerprint = attempt.fingerprint AND (each.state = 'completed' OR
  each.state = 'failed' OR each.state = 'held' OR each.state = 'submitted' OR each.state = 'unknown')) AS
  cost_microusd, (SELECT run.flow_run_id FROM run WHERE run.run_id = attempt.run_id) AS flow_run_id, (SELECT sum(CASE
  WHEN (charge.kind = 'deduct') THEN charge.microusd END) AS sum_1 FROM attempt AS each JOIN charge ON
  charge.prediction_id = each.prediction_id WHERE each.fingerprint = attempt.fingerprint AND charge.provider = (SELECT
  take.provider FROM take WHERE take.fingerprint = each.fingerprint)) AS charged_microusd, (SELECT sum(CASE WHEN
  (charge.kind = 'refund') THEN charge.microusd ELSE 0 END) AS sum_2 FROM attempt AS each JOIN charge ON
  charge.prediction_id = each.prediction_id WHERE each.fingerprint = attempt.fingerprint AND charge.provider = (SELECT
  take.provider FROM take WHERE take.fingerprint = each.fingerprint)) AS refunded_microusd FROM attempt WHERE NOT
  (attempt.allowed_by = 'changed-still' AND (attempt.state = 'absent' OR attempt.state = 'unsent')) AND NOT (EXISTS
  (SELECT * FROM attempt AS later WHERE later.fingerprint = attempt.fingerprint AND later.attempt_no >
  attempt.attempt_no AND NOT (later.allowed_by = 'changed-still' AND (later.state = 'absent' OR later.state =
  'unsent'))));
INSERT INTO alembic_version (version_num) VALUES
  ('0015');
INSERT INTO charge (provider, item, kind, prediction_id, model, microusd, charged_at, order_state, seen_at) VALUES
  ('https://api.wavespeed.ai', 'deduct:b-1:p-1', 'deduct', 'p-aaaaaaaa-3', 'wavespeed-ai/veo2-i2v', 3000000,
    '2026-11-26 12:00:00', 'done', '2026-11-27 23:42:05.246019');
INSERT INTO manifest (manifest_id, uri, content, num_rows) VALUES
  (1, 'file:///film/shots.csv', 'digest', 2);
SELECT setval('manifest_manifest_id_seq', 1);
INSERT INTO meta (name, value) VALUES
  ('intents', '8'),
  ('ledger_id', 'b3e05f04dd41a1c4d5cf61e4d401b901'),
  ('schema_version', '15');
INSERT INTO run (run_id, run_no, manifest, started_at, host, pid, committed_microusd, unpriced) VALUES
  ('run-1', 1, 'file:///film/shots.csv', '2026-11-27 23:42:04.632863', 'lathe', 4711, 5000000, 0),
  ('run-2', 2, 'file:///film/shots.csv', '2026-11-27 23:42:04.847791', 'lathe', 4712, 10500000, 1);
INSERT INTO spending (provider, day, reserved_microusd, unpriced) VALUES
  ('https://api.wavespeed.ai', '2026-11-26', 15500000, 1);
INSERT INTO take (fingerprint, provider, model, duration, request) VALUES
  ('1111111111111111111111111111111111111111111111111111111111111111', 'https://api.wavespeed.ai',
    'wavespeed-ai/veo2-i2v', '5s',
    '{"image":"https://stills.example/a.png","model":"wavespeed-ai/veo2-i2v","prompt":"push in"}'),
  ('2222222222222222222222222222222222222222222222222222222222222222', 'https://api.wavespeed.ai',
    'wavespeed-ai/veo2-i2v', '5s',
    '{"image":"https://stills.example/a.png","model":"wavespeed-ai/veo2-i2v","prompt":"push in"}'),
  ('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 'https://api.wavespeed.ai',
    'wavespeed-ai/veo2-i2v', '5s',
    '{"image":"https://stills.example/a.png","model":"wavespeed-ai/veo2-i2v","prompt":"push in"}'),
  ('bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb', 'https://api.wavespeed.ai',
    'wavespeed-ai/veo2-i2v', '5s',
    '{"image":"https://stills.example/a.png","model":"wavespeed-ai/veo2-i2v","prompt":"push in"}'),
  ('cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc', 'https://api.wavespeed.ai',
    'wavespeed-ai/veo2-i2v', '5s',
    '{"image":"https://stills.example/a.png","model":"wavespeed-ai/veo2-i2v","prompt":"push in"}'),
  ('dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd', 'https://api.wavespeed.ai',
    'wavespeed-ai/veo2-i2v', '5s',
    '{"image":"https://stills.example/a.png","model":"wavespeed-ai/veo2-i2v","prompt":"push in"}'),
  ('eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee', 'https://api.wavespeed.ai',
    'wavespeed-ai/veo2-i2v', '5s',
    '{"image":"https://stills.example/a.png","model":"wavespeed-ai/veo2-i2v","prompt":"push in"}');
INSERT INTO attempt (attempt_id, fingerprint, attempt_no, state, run_id, allowed_by, quoted_microusd, intent_at,
    nonce, window_from, window_to, submitted_at, completed_at, prediction_id, prediction_status, outputs,
    has_nsfw_contents, inference_ms, error_code, error, polls, held_for, ended_run_no, renewal, spent_on) VALUES
  (1, 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 1, 'failed', 'run-1', 'plan', 2500000,
    '2026-11-27 23:42:04.750855', 'n1', '2026-03-01 12:00:00', '2026-03-01 12:01:00', '2026-11-27 23:42:04.770447',
    '2026-11-27 23:42:04.786748', 'p-aaaaaaaa-1', 'completed', '[]', '[]', 4000, NULL, 'WaveSpeed broke', 1, NULL, 1,
    0, '2026-11-26'),
  (2, 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb', 1, 'failed', 'run-1', 'plan', 2500000,
    '2026-11-27 23:42:04.808324', 'n1', '2026-03-01 12:00:00', '2026-03-01 12:01:00', '2026-11-27 23:42:04.821631',
    '2026-11-27 23:42:04.836206', 'p-bbbbbbbb-2', 'completed', '[]', '[]', 4000, NULL, 'too dark for é', 1, NULL, 1,
    0, '2026-11-26'),
  (3, 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 2, 'completed', 'run-2', 'retry-failed',
    3000000, '2026-11-27 23:42:04.873283', 'n1', '2026-03-01 12:00:00', '2026-03-01 12:01:00',
    '2026-11-27 23:42:04.883090', '2026-11-27 23:42:04.893143', 'p-aaaaaaaa-3', 'completed',
    '["https://cdn.example/1.mp4"]', '[false]', 4000, NULL, NULL, 4, NULL, NULL, 0, '2026-11-26'),
  (4, 'cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc', 1, 'rejected', 'run-2', 'plan', 2500000,
    '2026-11-27 23:42:04.913732', 'n1', '2026-03-01 12:00:00', '2026-03-01 12:01:00', NULL, NULL, NULL, NULL, NULL,
    NULL, NULL, 1001, 'a bad prompt', 0, NULL, 2, 0, '2026-11-26'),
  (5, 'dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd', 1, 'unknown', 'run-2', 'plan', NULL,
    '2026-11-27 23:42:04.979949', 'n1', '2026-03-01 12:00:00', '2026-03-01 12:01:00', NULL, NULL, NULL, NULL, NULL,
    NULL, NULL, NULL, 'no answer', 0, NULL, NULL, 0, '2026-11-26'),
  (6, 'eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee', 1, 'held', 'run-2', 'plan', 2500000,
    '2026-11-27 23:42:05.051899', 'n1', '2026-03-01 12:00:00', '2026-03-01 12:01:00', '2026-11-27 23:42:05.063959',
    NULL, 'p-eeeeeeee-6', 'processing', NULL, NULL, NULL, NULL,
    'prediction p-eeeeeeee-6 is still processing 25.0 h after its submission; every run polls it once more; to give it up, so that --retry-failed may buy it again: animatic reconcile --abandon eeeeeeeeeeee',
    40, 'stuck', NULL, 0, '2026-11-26'),
  (7, '1111111111111111111111111111111111111111111111111111111111111111', 1, 'submitted', 'run-2', 'plan', 2500000,
    '2026-11-27 23:42:05.126561', 'n1', '2026-03-01 12:00:00', '2026-03-01 12:01:00', '2026-11-27 23:42:05.134765',
    NULL, 'p-11111111-7', 'created', NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL, 0, '2026-11-26'),
  (8, '2222222222222222222222222222222222222222222222222222222222222222', 1, 'submitting', 'run-2', 'plan', 2500000,
    '2026-11-27 23:42:05.159459', 'n9', '2026-03-01 12:00:00', '2026-03-01 12:01:00', NULL, NULL, NULL, NULL, NULL,
    NULL, NULL, NULL, NULL, 0, NULL, NULL, 0, '2026-11-26');
SELECT setval('attempt_attempt_id_seq', 8);
INSERT INTO planned (planned_id, manifest_id, "row", take, storyboard, shot_id, fingerprint, planned_at) VALUES
  (1, 1, 1, 1, 'board', 'completed', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',
    '2026-11-27 23:42:04.670591'),
  (2, 1, 2, 1, 'board', 'submitting', '2222222222222222222222222222222222222222222222222222222222222222',
    '2026-11-27 23:42:04.691756');
SELECT setval('planned_planned_id_seq', 2);
INSERT INTO clip (clip_id, attempt_id, output, archive, name, name_key, run_id, file, sha256, size_bytes, archived_at) VALUES
  (1, 3, 1, 'file:///film/clips', 'one', 'one', 'run-2', 'one.mp4',
    'abababababababababababababababababababababababababababababababab', 7, '2026-11-27 23:42:05.228152');
SELECT setval('clip_clip_id_seq', 1);
INSERT INTO remark (remark_id, attempt_id, run_id, made_at, text) VALUES
  (1, 5, 'run-2', '2026-11-27 23:42:05.017227', 'its reply was lost');
SELECT setval('remark_remark_id_seq', 1);
