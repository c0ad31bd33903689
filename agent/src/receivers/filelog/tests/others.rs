//! Files that look like others, and are or are not the same.

use super::*;

#[test]
fn a_file_that_gets_the_number_of_a_passed_over_one_is_read() {
    let mut rig = Rig::new();
    rig.append("a.log", "one\n");
    rig.pass();
    rig.append("a.log.2.gz", b"\x1f\x8b\x08\0 something compressed");
    rig.pass();
    assert_eq!(rig.problems("compressed_files_passed_over"), 1);
    // A pattern that names archives must not keep them on the disk.
    assert_eq!(rig.metrics.total("throughline_agent_files_open", &[]), 1);
    rig.kill(Loss::Nothing);
    rig.pass();
    // The same number, as after the archive was deleted.
    rig.truncate("a.log.2.gz");
    rig.rename("a.log.2.gz", "new.log");
    rig.append("new.log", "two\nthree\n");
    rig.pass();
    rig.pass();
    assert_eq!(rig.lines(), ["one", "two", "three"]);
    assert_eq!(rig.problems("compressed_files_passed_over"), 1);
}

#[test]
fn a_file_that_begins_like_another_one_is_no_copy_of_it() {
    let mut rig = Rig::new();
    rig.append("server.log", "started\n");
    rig.pass();
    // Longer at once, and as long at first.
    rig.append("server.log.wf", "started\nwarning\n");
    rig.append("server.log_err", "started\n");
    rig.pass();
    rig.pass();
    assert_eq!(rig.lines(), ["started", "started", "warning"]);
    rig.append("server.log_err", "error\n");
    rig.pass();
    rig.pass();
    assert_eq!(rig.lines()[3..], ["started", "error"]);
    // Copies are no longer than what they were copied from, and are still passed over.
    rig.append("server.log", "more\n");
    rig.pass();
    rig.copy_truncate("server.log", "server.log.1");
    rig.append("server.log", "after\n");
    rig.pass();
    rig.pass();
    rig.rename("server.log.1", "server.log.2");
    rig.pass();
    rig.kill(Loss::Nothing);
    rig.pass();
    assert_eq!(rig.lines()[5..], ["more", "after"]);
}

#[test]
fn a_copy_that_is_seen_while_it_is_made_adds_nothing() {
    let mut rig = Rig::new();
    let lines: Vec<String> = (0..100).map(|line| format!("line {line:04}")).collect();
    let text = lines.join("\n") + "\n";
    rig.append("a.log", &text);
    rig.pass();
    // A large file takes longer to copy than it takes to be found.
    rig.append("a.log.1", &text[..333]);
    rig.pass();
    rig.append("a.log.1", &text[333..700]);
    rig.pass();
    rig.append("a.log.1", text[700..].to_owned() + "last\n");
    rig.truncate("a.log");
    rig.append("a.log", "after\n");
    rig.pass();
    rig.wait(1);
    assert_eq!(rig.lines()[..100], lines);
    assert_eq!(rig.lines()[100..], ["last", "after"]);
    assert_eq!(rig.problems("lost_bytes"), 0);
}

#[test]
fn a_file_that_gets_the_number_of_a_removed_one_is_another_one() {
    let mut rig = Rig::new();
    rig.append("a.log", "one\n");
    rig.append("b.log", "two\n");
    rig.pass();
    rig.kill(Loss::Nothing);
    // Emptying and renaming stand in for a file system that gives numbers again.
    rig.truncate("a.log");
    rig.rename("a.log", "new.log");
    rig.append("new.log", "a line of another service\n");
    rig.truncate("b.log");
    rig.rename("b.log", "c.log.1.gz");
    rig.append("c.log.1.gz", b"\x1f\x8b\x08\0 compressed\n");
    rig.pass();
    rig.pass();
    assert_eq!(rig.lines(), ["one", "two", "a line of another service"]);
    assert_eq!(rig.records()[2].resource.service(), "new");
    assert_eq!(rig.problems("compressed_files_passed_over"), 1);
    assert_eq!(rig.problems("truncations"), 0);
}

#[test]
fn files_with_the_same_beginning_are_different_files() {
    let mut rig = Rig::new();
    let header = format!("{}\n", "h".repeat(2_000));
    rig.append("a.log", format!("{header}a\n"));
    rig.append("b.log", &header);
    rig.pass();
    rig.append("b.log", "b\n");
    rig.append("c.log", format!("{header}c\n"));
    rig.kill(Loss::All);
    rig.pass();
    rig.pass();
    let mut lines = rig.lines();
    lines.retain(|line| line.len() == 1);
    lines.sort();
    assert_eq!(lines, ["a", "b", "c"]);
    assert_eq!(rig.lines().len(), 6);
}
