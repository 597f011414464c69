BEGIN TRANSACTION;
CREATE TABLE alerts (
                        id INTEGER PRIMARY KEY AUTOINCREMENT,
                        run_id TEXT NOT NULL,
                        timestamp TEXT NOT NULL,
                        run_name TEXT NOT NULL,
                        title TEXT NOT NULL,
                        text TEXT,
                        level TEXT NOT NULL DEFAULT 'warn',
                        step INTEGER,
                        alert_id TEXT
                    );
INSERT INTO "alerts" VALUES(1,'4e9506c11b4142b5ba644d307c8901df','2026-11-27T23:21:38.679473+00:00','run/one','title','text','warn',5,'dda47dad2fdf4671b9b85b8a76ad140b');
CREATE TABLE artifact_aliases (
                        artifact_id INTEGER NOT NULL REFERENCES artifacts(id),
                        alias TEXT NOT NULL,
                        artifact_version_id INTEGER NOT NULL REFERENCES artifact_versions(id),
                        PRIMARY KEY (artifact_id, alias)
                    );
INSERT INTO "artifact_aliases" VALUES(1,'latest',1);
CREATE TABLE artifact_versions (
                        id INTEGER PRIMARY KEY AUTOINCREMENT,
                        artifact_id INTEGER NOT NULL REFERENCES artifacts(id),
                        version INTEGER NOT NULL,
                        manifest_digest TEXT NOT NULL,
                        manifest TEXT NOT NULL,
                        metadata TEXT,
                        size_bytes INTEGER NOT NULL,
                        producer_run_id TEXT,
                        producer_run_name TEXT,
                        created_at TEXT NOT NULL,
                        UNIQUE(artifact_id, version),
                        UNIQUE(artifact_id, manifest_digest)
                    );
INSERT INTO "artifact_versions" VALUES(1,1,0,'d8a90d8a80a2cd6aff1ff842942013b699b26841244e9ec8a96e814f5d81c3ae','[{"path":"w.txt","digest":"9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c","size":7}]',NULL,7,'4e9506c11b4142b5ba644d307c8901df','run/one','2026-11-27T23:21:38.692537+00:00');
CREATE TABLE artifacts (
                        id INTEGER PRIMARY KEY AUTOINCREMENT,
                        name TEXT NOT NULL UNIQUE,
                        type TEXT NOT NULL,
                        description TEXT,
                        created_at TEXT NOT NULL
                    );
INSERT INTO "artifacts" VALUES(1,'model','model',NULL,'2026-11-27T23:21:38.692537+00:00');
CREATE TABLE configs (
                        id INTEGER PRIMARY KEY AUTOINCREMENT,
                        run_id TEXT NOT NULL,
                        run_name TEXT NOT NULL,
                        config TEXT NOT NULL,
                        created_at TEXT NOT NULL,
                        UNIQUE(run_id)
                    );
INSERT INTO "configs" VALUES(1,'4e9506c11b4142b5ba644d307c8901df','run/one',X'7B226C72223A302E312C226E223A7B2261223A317D2C225F557365726E616D65223A6E756C6C2C225F43726561746564223A22323032362D31312D32375432333A32313A33382E3636323932392B30303A3030222C225F47726F7570223A2267227D','2026-11-27T23:21:38.706842+00:00');
INSERT INTO "configs" VALUES(2,'113736af65ed4157bddb6e39b17ba589','run/one',X'7B225F557365726E616D65223A6E756C6C2C225F43726561746564223A22323032362D31312D32375432333A32313A33382E3733303139352B30303A3030222C225F47726F7570223A6E756C6C7D','2026-11-27T23:21:38.741366+00:00');
CREATE TABLE external_run_artifact_links (
                        id INTEGER PRIMARY KEY AUTOINCREMENT,
                        run_id TEXT,
                        run_name TEXT,
                        source_project TEXT NOT NULL,
                        source_version_id INTEGER NOT NULL,
                        source_artifact TEXT NOT NULL,
                        source_type TEXT NOT NULL,
                        source_version INTEGER NOT NULL,
                        source_size_bytes INTEGER NOT NULL,
                        direction TEXT NOT NULL CHECK(direction IN ('input', 'output')),
                        created_at TEXT NOT NULL
                    );
CREATE TABLE metrics (
                        id INTEGER PRIMARY KEY AUTOINCREMENT,
                        run_id TEXT NOT NULL,
                        timestamp TEXT NOT NULL,
                        run_name TEXT NOT NULL,
                        step INTEGER NOT NULL,
                        metrics TEXT NOT NULL
                    , log_id TEXT, space_id TEXT);
INSERT INTO "metrics" VALUES(1,'4e9506c11b4142b5ba644d307c8901df','2026-11-27T23:21:38.696590+00:00','run/one',0,X'7B226C6F7373223A312E302C226E6573746564223A7B2278223A307D2C2274223A2274657874222C226F6464223A224E614E227D','301a0add7c30485ca0c3098676f60fb9',NULL);
INSERT INTO "metrics" VALUES(2,'4e9506c11b4142b5ba644d307c8901df','2026-11-27T23:21:38.696590+00:00','run/one',1,X'7B226C6F7373223A302E352C226E6573746564223A7B2278223A317D2C2274223A2274657874222C226F6464223A224E614E227D','f268a01390264117bbfb4962dbbe94af',NULL);
INSERT INTO "metrics" VALUES(3,'4e9506c11b4142b5ba644d307c8901df','2026-11-27T23:21:38.696590+00:00','run/one',2,X'7B226C6F7373223A302E333333333333333333333333333333332C226E6573746564223A7B2278223A327D2C2274223A2274657874222C226F6464223A224E614E227D','088e2bcb173144d88ae9d635c13b2f13',NULL);
INSERT INTO "metrics" VALUES(4,'4e9506c11b4142b5ba644d307c8901df','2026-11-27T23:21:38.696590+00:00','run/one',3,X'7B226C6F7373223A302E32352C226E6573746564223A7B2278223A337D2C2274223A2274657874222C226F6464223A224E614E227D','b221af0595224bd7a90c048a2058c33c',NULL);
INSERT INTO "metrics" VALUES(5,'4e9506c11b4142b5ba644d307c8901df','2026-11-27T23:21:38.696590+00:00','run/one',4,X'7B22696D67223A7B225F74797065223A22747261636B696F2E696D616765222C2266696C655F70617468223A226469676974732F72756E2F6F6E652F342F62346337336137332D613466612D346361352D626235342D3738613032356139343436332E706E67222C2263617074696F6E223A6E756C6C7D7D','14195789e27e4819bc4fe1338b5d4bbe',NULL);
INSERT INTO "metrics" VALUES(6,'4e9506c11b4142b5ba644d307c8901df','2026-11-27T23:21:38.696590+00:00','run/one',4,X'7B227461626C65223A7B225F74797065223A22747261636B696F2E7461626C65222C225F76616C7565223A5B7B2261223A317D2C7B2261223A327D5D7D7D','c4fb595f5c724268ab3a2bab6a4c5773',NULL);
INSERT INTO "metrics" VALUES(7,'4e9506c11b4142b5ba644d307c8901df','2026-11-27T23:21:38.696590+00:00','run/one',5,X'7B2268223A7B225F74797065223A22747261636B696F2E686973746F6772616D222C2262696E73223A5B312E302C312E32352C312E352C312E37352C322E305D2C2276616C756573223A5B312C302C302C325D7D2C226D64223A7B225F74797065223A22747261636B696F2E6D61726B646F776E222C225F76616C7565223A22232078227D7D','85de91ba23d44eba8c9be318b1e9cf0e',NULL);
INSERT INTO "metrics" VALUES(8,'4e9506c11b4142b5ba644d307c8901df','2026-11-27T23:21:38.696590+00:00','run/one',5,X'7B226C697374223A5B312C325D2C22696E66223A222D496E66696E697479227D','71bbc0acd05e49f2aa0d9668e994394a',NULL);
INSERT INTO "metrics" VALUES(9,'113736af65ed4157bddb6e39b17ba589','2026-11-27T23:21:38.735058+00:00','run/one',0,X'7B226C6F7373223A377D','6eaee9cd7dd748c6abfcd3458b800766',NULL);
CREATE TABLE pending_uploads (
                        id INTEGER PRIMARY KEY AUTOINCREMENT,
                        space_id TEXT NOT NULL,
                        run_id TEXT,
                        run_name TEXT,
                        step INTEGER,
                        file_path TEXT NOT NULL,
                        relative_path TEXT,
                        created_at TEXT NOT NULL
                    , kind TEXT NOT NULL DEFAULT 'media', digest TEXT);
CREATE TABLE project_metadata (
                        key TEXT PRIMARY KEY,
                        value TEXT NOT NULL
                    );
CREATE TABLE run_artifact_links (
                        id INTEGER PRIMARY KEY AUTOINCREMENT,
                        run_id TEXT,
                        run_name TEXT,
                        run_project TEXT,
                        artifact_version_id INTEGER NOT NULL REFERENCES artifact_versions(id),
                        direction TEXT NOT NULL CHECK(direction IN ('input', 'output')),
                        created_at TEXT NOT NULL
                    );
INSERT INTO "run_artifact_links" VALUES(1,'4e9506c11b4142b5ba644d307c8901df','run/one',NULL,1,'output','2026-11-27T23:21:38.692537+00:00');
CREATE TABLE system_metrics (
                        id INTEGER PRIMARY KEY AUTOINCREMENT,
                        run_id TEXT NOT NULL,
                        timestamp TEXT NOT NULL,
                        run_name TEXT NOT NULL,
                        metrics TEXT NOT NULL
                    , log_id TEXT, space_id TEXT);
INSERT INTO "system_metrics" VALUES(1,'4e9506c11b4142b5ba644d307c8901df','2026-11-27T23:21:38.679446+00:00','run/one',X'7B22637075223A332E307D','e7d276778a364cc7b2bc91122f8ffff7',NULL);
CREATE TABLE traces (
                        id TEXT PRIMARY KEY,
                        run_id TEXT NOT NULL,
                        timestamp TEXT NOT NULL,
                        run_name TEXT NOT NULL,
                        step INTEGER NOT NULL,
                        key TEXT NOT NULL,
                        trace_index INTEGER,
                        messages TEXT NOT NULL,
                        metadata TEXT NOT NULL,
                        search_text TEXT NOT NULL,
                        log_id TEXT,
                        space_id TEXT,
                        spans TEXT NOT NULL DEFAULT '[]'
                    );
CREATE INDEX idx_run_artifact_links_run
                    ON run_artifact_links(run_id, run_name)
                    ;
CREATE INDEX idx_run_artifact_links_name
                    ON run_artifact_links(run_name, run_id)
                    ;
CREATE INDEX idx_run_artifact_links_version
                    ON run_artifact_links(artifact_version_id)
                    ;
CREATE INDEX idx_run_artifact_links_project_run
                    ON run_artifact_links(run_project, run_id, run_name);
CREATE INDEX idx_external_artifact_links_run
                    ON external_run_artifact_links(run_id, run_name);
CREATE UNIQUE INDEX idx_external_artifact_links_unique
                    ON external_run_artifact_links(
                        COALESCE(run_id, ''), COALESCE(run_name, ''),
                        source_project, source_version_id, direction
                    );
CREATE INDEX idx_pending_uploads_kind
                    ON pending_uploads(kind)
                    ;
CREATE INDEX idx_metrics_run_step
                    ON metrics(run_id, step)
                    ;
CREATE INDEX idx_metrics_run_timestamp
                    ON metrics(run_id, timestamp)
                    ;
CREATE INDEX idx_configs_run_name
                    ON configs(run_name)
                    ;
CREATE INDEX idx_system_metrics_run_timestamp
                    ON system_metrics(run_id, timestamp)
                    ;
CREATE INDEX idx_traces_run_step
                    ON traces(run_id, step)
                    ;
CREATE INDEX idx_traces_run_timestamp
                    ON traces(run_id, timestamp)
                    ;
CREATE INDEX idx_traces_search
                    ON traces(search_text)
                    ;
CREATE INDEX idx_alerts_run
                    ON alerts(run_id)
                    ;
CREATE INDEX idx_alerts_timestamp
                    ON alerts(timestamp)
                    ;
CREATE UNIQUE INDEX idx_alerts_alert_id
                    ON alerts(alert_id) WHERE alert_id IS NOT NULL
                    ;
CREATE UNIQUE INDEX idx_metrics_log_id
                        ON metrics(log_id) WHERE log_id IS NOT NULL;
CREATE INDEX idx_metrics_pending
                        ON metrics(space_id) WHERE space_id IS NOT NULL;
CREATE UNIQUE INDEX idx_system_metrics_log_id
                        ON system_metrics(log_id) WHERE log_id IS NOT NULL;
CREATE INDEX idx_system_metrics_pending
                        ON system_metrics(space_id) WHERE space_id IS NOT NULL;
CREATE INDEX idx_metrics_run_record
                        ON metrics(run_id, run_name, timestamp);
CREATE UNIQUE INDEX idx_run_artifact_links_unique
                    ON run_artifact_links(
                        COALESCE(run_project, ''), COALESCE(run_id, ''),
                        COALESCE(run_name, ''), artifact_version_id, direction
                    );
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('artifacts',1);
INSERT INTO "sqlite_sequence" VALUES('artifact_versions',1);
INSERT INTO "sqlite_sequence" VALUES('run_artifact_links',1);
INSERT INTO "sqlite_sequence" VALUES('metrics',9);
INSERT INTO "sqlite_sequence" VALUES('configs',2);
INSERT INTO "sqlite_sequence" VALUES('system_metrics',1);
INSERT INTO "sqlite_sequence" VALUES('alerts',1);
COMMIT;
