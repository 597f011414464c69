CREATE TABLE "experiments" (
	experiment_id INTEGER NOT NULL, 
	name VARCHAR(256) NOT NULL, 
	artifact_location VARCHAR(256), 
	lifecycle_stage VARCHAR(32), 
	creation_time BIGINT, 
	last_update_time BIGINT, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT experiment_pk PRIMARY KEY (experiment_id), 
	CONSTRAINT experiments_lifecycle_stage CHECK (lifecycle_stage IN ('active', 'deleted')), 
	CONSTRAINT uq_experiments_workspace_name UNIQUE (workspace, name)
);
INSERT INTO experiments VALUES (0, 'Default', '/tmp/train/mlruns/0', 'active', 1795821233173, 1795821233173, 'default');
INSERT INTO experiments VALUES (1, 'my/exp', '/tmp/train/mlruns/1', 'active', 1795821233178, 1795821233178, 'default');
CREATE TABLE "runs" (
	run_uuid VARCHAR(32) NOT NULL, 
	name VARCHAR(250), 
	source_type VARCHAR(20), 
	source_name VARCHAR(500), 
	entry_point_name VARCHAR(50), 
	user_id VARCHAR(256), 
	status VARCHAR(9), 
	start_time BIGINT, 
	end_time BIGINT, 
	source_version VARCHAR(50), 
	lifecycle_stage VARCHAR(20), 
	artifact_uri VARCHAR(200), 
	experiment_id INTEGER, deleted_time BIGINT, 
	CONSTRAINT run_pk PRIMARY KEY (run_uuid), 
	CONSTRAINT runs_lifecycle_stage CHECK (lifecycle_stage IN ('active', 'deleted')), 
	CONSTRAINT source_type CHECK (source_type IN ('NOTEBOOK', 'JOB', 'LOCAL', 'UNKNOWN', 'PROJECT')), 
	FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id), 
	CHECK (status IN ('SCHEDULED', 'FAILED', 'FINISHED', 'RUNNING', 'KILLED'))
);
INSERT INTO runs VALUES ('0c3c099318414d3fbe90c781e762d3ae', 'first', 'UNKNOWN', '', '', 'root', 'FINISHED', 1795821233187, 1795821233276, '', 'active', '/tmp/train/mlruns/1/0c3c099318414d3fbe90c781e762d3ae/artifacts', 1, NULL);
INSERT INTO runs VALUES ('3de83e3b5b474459a85e14b48bab6493', 'child', 'UNKNOWN', '', '', 'root', 'FINISHED', 1795821233261, 1795821233272, '', 'active', '/tmp/train/mlruns/1/3de83e3b5b474459a85e14b48bab6493/artifacts', 1, NULL);
INSERT INTO runs VALUES ('d45bbd03e3f046b186850012373beccf', 'first', 'UNKNOWN', '', '', 'root', 'FAILED', 1795821233281, 1795821233290, '', 'active', '/tmp/train/mlruns/1/d45bbd03e3f046b186850012373beccf/artifacts', 1, NULL);
INSERT INTO runs VALUES ('a757135c33e94d6a9c0ee77c5ff44913', 'gone', 'UNKNOWN', '', '', 'root', 'FINISHED', 1795821233294, 1795821233300, '', 'deleted', '/tmp/train/mlruns/1/a757135c33e94d6a9c0ee77c5ff44913/artifacts', 1, 1795821233305);
CREATE TABLE "metrics" (
	"key" VARCHAR(250) NOT NULL, 
	value FLOAT NOT NULL, 
	timestamp BIGINT NOT NULL, 
	run_uuid VARCHAR(32) NOT NULL, 
	step BIGINT DEFAULT '0' NOT NULL, 
	is_nan BOOLEAN DEFAULT '0' NOT NULL, 
	CONSTRAINT metric_pk PRIMARY KEY ("key", timestamp, step, run_uuid, value, is_nan), 
	FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid), 
	CHECK (is_nan IN (0, 1))
);
INSERT INTO metrics VALUES ('train/loss', 1.0, 1795821233204, '0c3c099318414d3fbe90c781e762d3ae', 0, 0);
INSERT INTO metrics VALUES ('acc', 0.0, 1795821233204, '0c3c099318414d3fbe90c781e762d3ae', 0, 0);
INSERT INTO metrics VALUES ('train/loss', 0.5, 1795821233211, '0c3c099318414d3fbe90c781e762d3ae', 1, 0);
INSERT INTO metrics VALUES ('acc', 0.1, 1795821233211, '0c3c099318414d3fbe90c781e762d3ae', 1, 0);
INSERT INTO metrics VALUES ('train/loss', 3.33333333333333314829e-01, 1795821233219, '0c3c099318414d3fbe90c781e762d3ae', 2, 0);
INSERT INTO metrics VALUES ('acc', 0.2, 1795821233219, '0c3c099318414d3fbe90c781e762d3ae', 2, 0);
INSERT INTO metrics VALUES ('train/loss', 0.25, 1795821233223, '0c3c099318414d3fbe90c781e762d3ae', 3, 0);
INSERT INTO metrics VALUES ('acc', 0.3, 1795821233223, '0c3c099318414d3fbe90c781e762d3ae', 3, 0);
INSERT INTO metrics VALUES ('nan', 0.0, 1795821233228, '0c3c099318414d3fbe90c781e762d3ae', 2, 1);
INSERT INTO metrics VALUES ('inf', -1.79769313486231562234e+308, 1795821233228, '0c3c099318414d3fbe90c781e762d3ae', 2, 0);
INSERT INTO metrics VALUES ('x', 1.0, 1795821233268, '3de83e3b5b474459a85e14b48bab6493', 0, 0);
INSERT INTO metrics VALUES ('x', 1.0, 1795821233287, 'd45bbd03e3f046b186850012373beccf', -3, 0);
CREATE TABLE "params" (
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(8000) NOT NULL, 
	run_uuid VARCHAR(32) NOT NULL, 
	CONSTRAINT param_pk PRIMARY KEY ("key", run_uuid), 
	FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid)
);
INSERT INTO params VALUES ('lr', '0.1', '0c3c099318414d3fbe90c781e762d3ae');
INSERT INTO params VALUES ('deep', '{''a'': 1}', '0c3c099318414d3fbe90c781e762d3ae');
INSERT INTO params VALUES ('fast', 'True', '0c3c099318414d3fbe90c781e762d3ae');
INSERT INTO params VALUES ('name', '007', '0c3c099318414d3fbe90c781e762d3ae');
CREATE TABLE "tags" (
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(8000), 
	run_uuid VARCHAR(32) NOT NULL, 
	CONSTRAINT tag_pk PRIMARY KEY ("key", run_uuid), 
	FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid)
);
INSERT INTO tags VALUES ('mlflow.user', 'root', '0c3c099318414d3fbe90c781e762d3ae');
INSERT INTO tags VALUES ('mlflow.source.name', 'src/make_mlflow.py', '0c3c099318414d3fbe90c781e762d3ae');
INSERT INTO tags VALUES ('mlflow.source.type', 'LOCAL', '0c3c099318414d3fbe90c781e762d3ae');
INSERT INTO tags VALUES ('team', 'x', '0c3c099318414d3fbe90c781e762d3ae');
INSERT INTO tags VALUES ('mlflow.note.content', 'hello', '0c3c099318414d3fbe90c781e762d3ae');
INSERT INTO tags VALUES ('mlflow.runName', 'first', '0c3c099318414d3fbe90c781e762d3ae');
INSERT INTO tags VALUES ('mlflow.user', 'root', '3de83e3b5b474459a85e14b48bab6493');
INSERT INTO tags VALUES ('mlflow.source.name', 'src/make_mlflow.py', '3de83e3b5b474459a85e14b48bab6493');
INSERT INTO tags VALUES ('mlflow.source.type', 'LOCAL', '3de83e3b5b474459a85e14b48bab6493');
INSERT INTO tags VALUES ('mlflow.parentRunId', '0c3c099318414d3fbe90c781e762d3ae', '3de83e3b5b474459a85e14b48bab6493');
INSERT INTO tags VALUES ('mlflow.runName', 'child', '3de83e3b5b474459a85e14b48bab6493');
INSERT INTO tags VALUES ('mlflow.user', 'root', 'd45bbd03e3f046b186850012373beccf');
INSERT INTO tags VALUES ('mlflow.source.name', 'src/make_mlflow.py', 'd45bbd03e3f046b186850012373beccf');
INSERT INTO tags VALUES ('mlflow.source.type', 'LOCAL', 'd45bbd03e3f046b186850012373beccf');
INSERT INTO tags VALUES ('mlflow.runName', 'first', 'd45bbd03e3f046b186850012373beccf');
INSERT INTO tags VALUES ('mlflow.user', 'root', 'a757135c33e94d6a9c0ee77c5ff44913');
INSERT INTO tags VALUES ('mlflow.source.name', 'src/make_mlflow.py', 'a757135c33e94d6a9c0ee77c5ff44913');
INSERT INTO tags VALUES ('mlflow.source.type', 'LOCAL', 'a757135c33e94d6a9c0ee77c5ff44913');
INSERT INTO tags VALUES ('mlflow.runName', 'gone', 'a757135c33e94d6a9c0ee77c5ff44913');
CREATE TABLE logged_models (
	model_id VARCHAR(36) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	name VARCHAR(500) NOT NULL, 
	artifact_location VARCHAR(1000) NOT NULL, 
	creation_timestamp_ms BIGINT NOT NULL, 
	last_updated_timestamp_ms BIGINT NOT NULL, 
	status INTEGER NOT NULL, 
	lifecycle_stage VARCHAR(32), 
	model_type VARCHAR(500), 
	source_run_id VARCHAR(32), 
	status_message VARCHAR(1000), 
	CONSTRAINT logged_models_pk PRIMARY KEY (model_id), 
	CONSTRAINT logged_models_lifecycle_stage_check CHECK (lifecycle_stage IN ('active', 'deleted')), 
	CONSTRAINT fk_logged_models_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id) ON DELETE CASCADE
);
INSERT INTO logged_models VALUES ('m-b83ecab6bba54860896461f21d3aed81', 1, 'net', '/tmp/train/mlruns/1/models/m-b83ecab6bba54860896461f21d3aed81/artifacts', 1795821233244, 1795821233257, 2, 'active', NULL, '0c3c099318414d3fbe90c781e762d3ae', NULL);
CREATE TABLE inputs (
	input_uuid VARCHAR(36) NOT NULL, 
	source_type VARCHAR(36) NOT NULL, 
	source_id VARCHAR(36) NOT NULL, 
	destination_type VARCHAR(36) NOT NULL, 
	destination_id VARCHAR(36) NOT NULL, step BIGINT DEFAULT '0' NOT NULL, 
	CONSTRAINT inputs_pk PRIMARY KEY (source_type, source_id, destination_type, destination_id)
);
