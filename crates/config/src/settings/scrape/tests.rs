use super::*;
use crate::Config;

fn load(text: &str) -> Result<Config, Vec<String>> {
    let loaded = Config::from_text("t.yml", text, PathBuf::from("/etc/t"), std::iter::empty());
    loaded.map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

#[test]
fn prometheus_own_shape_is_read() {
    let text = r#"
agent:
  scrape_configs:
    - job_name: node
      scrape_interval: 15s
      params: {collect: [cpu, disk]}
      basic_auth: {username: u, password_file: secret}
      static_configs:
        - targets: ["localhost:9100", "[::1]:9100"]
          labels: {zone: a}
      file_sd_configs:
        - files: [targets/*.json]
      relabel_configs:
        - source_labels: [__address__]
          separator: ""
          regex: '(.+):\d+'
          target_label: host
        - {action: labeldrop, regex: tmp_.*}
"#;
    let config = load(text).unwrap();
    let scrape = &config.agent.scrape_configs[0].0;
    assert_eq!(scrape.timeout(), Duration::from_secs(10));
    assert_eq!(scrape.params.0["collect"], ["cpu", "disk"]);
    let auth = scrape.basic_auth.as_ref().unwrap();
    let file = auth.password_file.as_ref().unwrap();
    assert_eq!(file.0, Path::new("/etc/t/secret"));
    let relabel = &scrape.relabel_configs[0].0;
    assert_eq!(relabel.separator.0, "");
    assert!(relabel.regex.0.is_match("a\nb:1"));
    assert!(!relabel.regex.0.is_match("a:b"));
    let action = scrape.relabel_configs[1].0.action;
    assert_eq!(action, RelabelAction::LabelDrop);
}

#[test]
fn what_prometheus_has_and_the_agent_does_not_is_told_as_such() {
    let text = "agent:\n  scrape_configs:\n    - job_name: a\n      keep_dropped_targets: 1\n      \
                kubernetes_sd_configs: [{role: pod}]\n      scrape_failure_log_file: f\n      \
                tls_config: {ca_fil: y}\n";
    let errors = load(text).unwrap_err();
    let expected = [
        "4:7: `keep_dropped_targets` of Prometheus is not supported",
        "5:7: `kubernetes_sd_configs` of Prometheus is not supported",
        "6:7: `scrape_failure_log_file` of Prometheus is not supported",
        "7:20: unknown key `ca_fil` (did you mean `ca_file`?)",
    ];
    assert_eq!(errors.len(), expected.len(), "{errors:#?}");
    for (error, expected) in errors.iter().zip(expected) {
        assert!(error.contains(expected), "{error}");
    }
    for other in ["file_sd_configs", "http_sd_configs"] {
        assert!(errors[1].contains(other), "{}", errors[1]);
    }
}

#[test]
fn proxies_are_given_or_taken_from_the_environment() {
    let job = |lines: &str| {
        load(&format!(
            "agent:\n  scrape_configs:\n    - {{job_name: a, {lines}}}\n"
        ))
    };
    let config = job(
        "proxy_url: 'http://p:1', no_proxy: 'a.b, 10.0.0.0/8, ::1', \
         proxy_connect_header: {x-a: [b, c]}",
    );
    let config = config.unwrap();
    let access = config.agent.scrape_configs[0].0.access();
    assert_eq!(access.no_proxy, Some("a.b, 10.0.0.0/8, ::1"));
    assert_eq!(access.proxy_connect_header.0["x-a"], ["b", "c"]);
    assert!(job("proxy_from_environment: true").is_ok());
    for (lines, problem) in [
        ("no_proxy: a", "no `proxy_url` that could be left out"),
        (
            "proxy_connect_header: {a: [b]}",
            "no `proxy_url` that these headers",
        ),
        (
            "proxy_from_environment: true, proxy_url: 'http://p:1'",
            "taken from the environment",
        ),
        (
            "proxy_url: 'http://p:1', no_proxy: 'a,b:80'",
            "`b:80` has a port",
        ),
        (
            "proxy_url: 'http://p:1', no_proxy: '[::1]:80'",
            "`[::1]:80` has a port",
        ),
    ] {
        let errors = job(lines).unwrap_err();
        assert!(errors[0].contains(problem), "{errors:?}");
    }
}

#[test]
fn servers_that_list_targets_are_asked_as_targets_are() {
    let job = |lines: &str| {
        load(&format!(
            "agent:\n  scrape_configs:\n    - job_name: a\n      http_sd_configs: [{{{lines}}}]\n"
        ))
    };
    let config =
        job("url: 'http://s/list', refresh_interval: 5s, basic_auth: {username: u}").unwrap();
    let HttpDiscovery(server) = &config.agent.scrape_configs[0].0.http_sd_configs[0];
    assert_eq!(server.refresh_interval, Duration::from_secs(5));
    assert!(server.access().basic_auth.is_some() && server.access().follow_redirects);
    for (lines, problem) in [
        ("refresh_interval: 5s", "`url` is missing"),
        (
            "url: 'http://s', authorization: {credentials: x}, basic_auth: {username: u}",
            "both `basic_auth` and `authorization`",
        ),
        (
            "url: 'http://s', tls_config: {cert_file: x}",
            "needs its key",
        ),
        ("url: 'http://s', no_proxy: x", "no `proxy_url`"),
    ] {
        let errors = job(lines).unwrap_err();
        assert!(errors[0].contains(problem), "{errors:?}");
    }
    let groups = parse_target_groups(
        "s",
        r#"[{"targets": ["a:1"], "labels": {"b": "c"}}]"#,
        PathBuf::new(),
    );
    assert_eq!(groups.unwrap()[0].targets, ["a:1"]);
    assert!(parse_target_groups("s", "[{\"target\": 1}]", PathBuf::new()).is_err());
}

#[test]
fn a_bearer_token_is_an_authorization() {
    let text = "agent:\n  scrape_configs:\n    - {job_name: a, bearer_token_file: token}\n    \
                - {job_name: b, bearer_token: secret, tls_config: {min_version: TLS13}}\n";
    let config = load(text).unwrap();
    let [first, second] = [0, 1].map(|at| config.agent.scrape_configs[at].0.clone());
    let auth = first.authorization.unwrap();
    assert_eq!(auth.r#type, "Bearer");
    assert_eq!(auth.credentials_file.unwrap().0, Path::new("/etc/t/token"));
    assert_eq!(
        second.authorization.unwrap().credentials.unwrap().0,
        "secret"
    );
    let tls = second.tls_config.unwrap();
    assert_eq!(tls.min_version, Some(TlsVersion::Tls13));
    for wrong in [
        "{job_name: a, bearer_token: x, bearer_token_file: y}",
        "{job_name: a, bearer_token: x, basic_auth: {username: u}}",
        "{job_name: a, tls_config: {ca: x, ca_file: y}}",
        "{job_name: a, tls_config: {cert_file: y}}",
        "{job_name: a, tls_config: {server_name: 10.0.0.1}}",
        "{job_name: a, tls_config: {server_name: x}, proxy_url: 'http://p:1'}",
        "{job_name: a, oauth2: {client_id: x, token_url: 'http://t/', client_secret: y, client_secret_file: z}}",
        "{job_name: a, oauth2: {client_id: x, token_url: 'http://t/', tls_config: {key: y}}}",
        "{job_name: a, oauth2: {client_id: x, token_url: 'http://t/', tls_config: {server_name: y}}}",
        "{job_name: a, oauth2: {client_id: x, token_url: 'http://t/'}, bearer_token: x}",
        "{job_name: a, scrape_protocols: []}",
        "{job_name: a, http_headers: {Authorization: {values: [x]}}}",
        "{job_name: a, http_headers: {'a b': {values: [x]}}}",
        "{job_name: a, http_headers: {a: {value: [x]}}}",
        "{job_name: a, native_histogram_min_bucket_factor: -1}",
        "{job_name: a, scrape_protocols: [PrometheusProto, PrometheusProto]}",
        "{job_name: a, metric_name_validation_scheme: legacy, metric_name_escaping_scheme: allow-utf-8}",
    ] {
        let text = format!("agent:\n  scrape_configs:\n    - {wrong}\n");
        let errors = load(&text).unwrap_err();
        assert_eq!(errors.len(), 1, "{errors:?}");
    }
}

#[test]
fn mistakes_are_told_with_their_places() {
    let cases = [
        (
            "- {job_nam: a}",
            "3:8: unknown key `job_nam` (did you mean `job_name`?)",
        ),
        (
            "- {job_name: a, scrape_timeout: 2m}",
            "scrape_timeout` is longer",
        ),
        (
            "- {job_name: a}\n    - {job_name: a}",
            "4:18: the job `a` is named twice",
        ),
        (
            "- {job_name: a, relabel_configs: [{action: hashmod}]}",
            "needs a `target_label`",
        ),
        (
            "- {job_name: a, relabel_configs: [{action: hasmod}]}",
            "did you mean `hashmod`?",
        ),
        (
            "- {job_name: a, relabel_configs: [{action: labeldrop, target_label: x}]}",
            "takes a `regex` alone",
        ),
        (
            "- {job_name: a, relabel_configs: [{target_label: x, regex: '('}]}",
            "invalid regular expression",
        ),
        (
            "- {job_name: a, authorization: {credentials: x, credentials_file: y}}",
            "both `credentials` and `credentials_file`",
        ),
    ];
    for (item, expected) in cases {
        let text = format!("agent:\n  scrape_configs:\n    {item}\n");
        let errors = load(&text).unwrap_err();
        assert!(
            errors.iter().any(|error| error.contains(expected)),
            "{item}: {errors:?}"
        );
    }
}

#[test]
fn target_files_are_json_or_yaml() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.json");
    let read = |text: &str| {
        std::fs::write(&path, text).unwrap();
        read_target_groups(&path)
    };
    let groups = read(r#"[{"targets": ["a:1", "b:2"], "labels": {"k": "v"}}, {"targets": []}]"#);
    let groups = groups.unwrap();
    assert_eq!(groups[0].targets, ["a:1", "b:2"]);
    assert_eq!(groups[0].labels["k"], "v");
    assert_eq!(read("- targets: ['a:1']\n").unwrap().len(), 1);
    assert!(read("[]").unwrap().is_empty());
    for cut in ["", "\n"] {
        let errors = read(cut).unwrap_err();
        assert!(errors[0].to_string().contains("is empty"), "{errors:?}");
    }
    let yaml = dir.path().join("t.yml");
    for empty in ["", "\n", "# none\n"] {
        std::fs::write(&yaml, empty).unwrap();
        assert!(read_target_groups(&yaml).unwrap().is_empty(), "{empty:?}");
    }
    let errors = read("- target: ['a:1']\n").unwrap_err();
    assert!(errors[0].to_string().contains("did you mean `targets`?"));
    assert!(read("[").is_err());
}
