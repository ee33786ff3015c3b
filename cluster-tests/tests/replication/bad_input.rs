//! What keeps a node from starting: each in one line that says what, where and how to mend it, and
//! with the documented exit status.

use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cluster_tests::nodes::{PATIENCE, program, run_program, tail, wait_equal};
use cluster_tests::wait::wait_until;
use weft_actors::status::ChannelState;

use crate::pair::{BJ, BOTH_WAYS, ONE_WAY, Pair, SH};

/// Runs `weft node` for sh, which must end by itself, with this status and one line that has all
/// these words.
fn node_ends(config: &Path, status: i32, words: &[&str]) {
    ends(Command::new(program()), config, status, words);
}

/// The same for a command that runs the program.
fn ends(mut command: Command, config: &Path, status: i32, words: &[&str]) {
    let mut child = command
        .args(["node", "--node", "sh-1", "--config"])
        .arg(config)
        .env("WEFT_LOG", "off")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let began = Instant::now();
    while child.try_wait().expect("a child of ours").is_none() {
        if began.elapsed() > Duration::from_secs(30) {
            child.kill().expect("it runs");
            let output = child.wait_with_output().expect("it is killed");
            panic!("the node runs, but {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output().expect("it ended");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(said.trim_end().lines().count(), 1, "one line: {said}");
    assert!(words.iter().all(|word| said.contains(word)), "{words:?} in: {said}");
    assert_eq!(output.status.code(), Some(status), "{said}");
}

/// `weft check`, which must find an error that has all these words in one line.
fn check_finds(config: &Path, words: &[&str]) {
    let (status, out, err) = run_program(&["check", "--config", &config.display().to_string()]);
    let found =
        out.lines().any(|line| line.starts_with("error") && words.iter().all(|word| line.contains(word)));
    assert!(found && err.is_empty(), "{words:?} in: {out}{err}");
    assert_eq!(status, Some(1), "{out}");
}

/// The configuration with one text in place of another.
fn with(config: &Path, from: &str, to: &str) -> tempfile::NamedTempFile {
    let text = std::fs::read_to_string(config).expect("written by the test");
    assert!(text.contains(from), "{from} in {text}");
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), text.replacen(from, to, 1)).expect("writable");
    file
}

#[tokio::test]
async fn accounts_and_servers_that_cannot_do_are_refused_by_node_and_check() {
    let pair = Pair::servers("CREATE TABLE t (id INT PRIMARY KEY)", "", BOTH_WAYS).await;
    let config = pair.deployment.config();
    let wrong = with(&config, "//root@", "//root:wrong@");
    node_ends(wrong.path(), 1, &["sh.main", "Access denied", "root", "password"]);
    check_finds(wrong.path(), &["sh.main", "Access denied", "password"]);

    pair.sh.execute("CREATE USER poor@'%' IDENTIFIED BY 'poor'; GRANT SELECT ON *.* TO poor@'%'").await;
    let poor = with(&config, "//root@", "//poor:poor@");
    node_ends(poor.path(), 1, &["sh.main", "GRANT", "REPLICATION SLAVE"]);
    check_finds(poor.path(), &["sh.main", "GRANT", "REPLICATION SLAVE"]);

    for (setting, good) in [("binlog_format = STATEMENT", "ROW"), ("binlog_row_image = MINIMAL", "FULL")] {
        pair.sh.execute(&format!("SET GLOBAL {setting}")).await;
        let (name, bad) = setting.split_once(" = ").expect("name and value");
        let words = ["sh.main", bad, &format!("SET GLOBAL {name} = {good}")];
        node_ends(&config, 1, &words);
        check_finds(&config, &words);
        pair.sh.execute(&format!("SET GLOBAL {name} = {good}")).await;
    }

    pair.sh.execute("CREATE TABLE shop.keyless (a INT)").await;
    check_finds(&config, &["sh.main", "shop.keyless", "PRIMARY KEY"]);
    pair.sh.execute("DROP TABLE shop.keyless").await;

    pair.sh.execute("SET GLOBAL server_id = 12").await;
    check_finds(&config, &["server_id", "12", "SET GLOBAL server_id"]);
}

#[tokio::test]
async fn configuration_ports_and_directories_that_cannot_be_used_are_named() {
    let mut pair = Pair::servers("CREATE TABLE t (id INT PRIMARY KEY)", "", BOTH_WAYS).await;
    let config = pair.deployment.config();
    let unknown =
        with(&config, "[sites.sh.instances.main]\n", "[sites.sh.instances.main]\nbufer = \"1GiB\"\n");
    node_ends(unknown.path(), 2, &["sites.sh.instances.main.bufer", "buffer"]);
    let (status, _, err) = run_program(&["check", "--config", &unknown.path().display().to_string()]);
    assert_eq!((status, err.contains("bufer")), (Some(2), true), "{err}");

    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    let text = std::fs::read_to_string(&config).expect("written");
    for key in ["peer", "admin"] {
        let line = text.lines().find(|line| line.starts_with(&format!("{key} = "))).expect("sh comes first");
        let busy = with(&config, line, &format!("{key} = \"{address}\""));
        node_ends(busy.path(), 1, &[&format!("sites.sh.nodes.sh-1.{key}"), &address, "in use"]);
    }

    let data = pair.deployment.sites[SH].data.display().to_string();
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let place = file.path().display().to_string();
    let no_directory = with(&config, &data, &place);
    node_ends(no_directory.path(), 1, &["data directory", &place]);

    pair.deployment.start_all().await;
    node_ends(&config, 1, &["data directory", &data, "in use by another process"]);
    assert_eq!(pair.deployment.terminate(SH), Some(0));
    // The directory knows whose it is.
    let data = pair.deployment.sites[BJ].data.display().to_string();
    assert_eq!(pair.deployment.terminate(BJ), Some(0));
    let elsewhere = with(&config, &data, &format!("{data}-moved"));
    let others = with(elsewhere.path(), &pair.deployment.sites[SH].data.display().to_string(), &data);
    node_ends(others.path(), 1, &[&data, "belongs to node bj-1 of cluster test"]);
}

/// A command that runs `program` under the rights that files state. Root has to give up the capability
/// to pass over them; None, with the reason printed, where that cannot be done.
fn without_override(program: &Path, read_only: &Path) -> Option<Command> {
    let own = |program: &Path| {
        let mut command = Command::new("setpriv");
        command.arg("--bounding-set=-dac_override").arg("--").arg(program);
        command
    };
    let touches = |mut command: Command| command.arg(read_only.join("probe")).status();
    if touches(Command::new("touch")).is_ok_and(|status| !status.success()) {
        return Some(Command::new(program));
    }
    if own(Path::new("true")).status().is_ok_and(|status| status.success())
        && touches(own(Path::new("touch"))).is_ok_and(|status| !status.success())
    {
        return Some(own(program));
    }
    eprintln!("skipped: a data directory that cannot be written: root cannot give up CAP_DAC_OVERRIDE here");
    None
}

#[tokio::test]
async fn a_data_directory_that_the_node_may_not_write_to_is_named() {
    let pair = Pair::servers("CREATE TABLE t (id INT PRIMARY KEY)", "", BOTH_WAYS).await;
    let data = &pair.deployment.sites[SH].data;
    std::fs::create_dir(data).expect("its parent is the test's own");
    std::fs::set_permissions(data, Permissions::from_mode(0o555)).expect("it is the test's own");
    let Some(command) = without_override(&program(), data) else { return };
    let place = data.display().to_string();
    let words = ["data directory", &place, "Permission denied", "the right to write there"];
    ends(command, &pair.deployment.config(), 1, &words);
    // It is mended as the line says.
    std::fs::set_permissions(data, Permissions::from_mode(0o755)).expect("it is the test's own");
    let mut pair = pair;
    pair.deployment.start_all().await;
}

#[tokio::test]
async fn a_server_that_is_down_at_the_start_is_waited_for() {
    let mut pair = Pair::servers("CREATE TABLE t (id INT PRIMARY KEY)", "", ONE_WAY).await;
    pair.sh.execute("INSERT INTO shop.t VALUES (1)").await;
    pair.bj.execute("INSERT INTO shop.t VALUES (1)").await;
    pair.sh.stop().await;
    pair.bj.stop().await;
    pair.deployment.start(SH);
    pair.deployment.start(BJ);
    let url = format!("{}/readyz", pair.deployment.admin_url(SH));
    wait_until(PATIENCE, "the node answers and says what it waits for", async || {
        let answer = pair.deployment.client.get(&url).send().await.map_err(|error| error.to_string())?;
        let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap_or_default());
        let says = status == 503 && text.contains("cannot reach a server at");
        if says { Ok(()) } else { Err(format!("{status} {text} {}", tail(&pair.deployment.log(SH)))) }
    })
    .await;
    pair.sh.restart().await;
    pair.bj.restart().await;
    pair.deployment.wait_ready(SH).await;
    pair.deployment.wait_ready(BJ).await;
    pair.sh.execute("INSERT INTO shop.t VALUES (2)").await;
    wait_equal(&[&pair.sh, &pair.bj], &["shop.t"]).await;
    pair.state(ChannelState::Running).await;
}

#[tokio::test]
async fn rows_of_a_table_without_primary_key_stop_the_channel_until_they_are_skipped_or_the_table_is_left_out()
 {
    let mut pair =
        Pair::start("CREATE TABLE t (id INT PRIMARY KEY); CREATE TABLE keyless (a INT)", ONE_WAY).await;
    let config = pair.deployment.config();
    check_finds(&config, &["sh.main", "shop.keyless", "PRIMARY KEY"]);
    pair.sh.execute("INSERT INTO shop.keyless VALUES (1), (2), (2); INSERT INTO shop.t VALUES (1)").await;
    let reason = pair.stopped().await;
    assert!(reason.contains("PRIMARY KEY") && reason.contains("keyless"), "{reason}");
    pair.channel("skip");
    wait_equal(&[&pair.sh, &pair.bj], &["shop.t"]).await;

    // With a key at both sides and the old rows copied, its rows flow.
    let key = "DELETE FROM shop.keyless; ALTER TABLE shop.keyless ADD PRIMARY KEY (a)";
    pair.sh.execute(&format!("SET sql_log_bin = 0; {key}")).await;
    pair.bj.execute(key).await;
    pair.sh.execute("INSERT INTO shop.keyless VALUES (1), (2)").await;
    wait_equal(&[&pair.sh, &pair.bj], &["shop.keyless"]).await;

    pair.sh.execute("CREATE TABLE shop.other (a INT); INSERT INTO shop.other VALUES (1); INSERT INTO shop.t VALUES (2)").await;
    let reason = pair.stopped().await;
    assert!(reason.contains("\"!shop.other\"") && !reason.contains('\n'), "{reason}");
    assert_eq!(pair.deployment.terminate(BJ), Some(0));
    let without = with(&config, "\"shop.*\"", "\"shop.*\", \"!shop.other\"");
    std::fs::copy(without.path(), &config).expect("writable");
    pair.deployment.start(BJ);
    wait_equal(&[&pair.sh, &pair.bj], &["shop.t"]).await;
    pair.state(ChannelState::Running).await;
}
