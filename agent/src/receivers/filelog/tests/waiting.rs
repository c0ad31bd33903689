//! Lines and records that wait for more, in many files at once.

use super::*;

#[test]
fn what_waited_in_many_files_goes_into_as_many_entries_as_it_needs() {
    let continues = regex::Regex::new(r"^\s").unwrap();
    let continued = crate::options::Multiline::continued_by(continues);
    for multiline in [None, Some(continued)] {
        let end = if multiline.is_some() { "\n" } else { "" };
        let mut rig = Rig::with(|options| {
            options.queue.entry_bytes_max = 64 << 10;
            options.files[0].multiline = multiline;
        });
        let text = "Error".to_owned() + &" at some place".repeat(1_000);
        for file in 0..20 {
            rig.append(&format!("{file}.log"), text.clone() + end);
        }
        rig.pass();
        assert_eq!(rig.lines().len(), 0);
        rig.wait(4);
        assert_eq!(rig.lines(), vec![text; 20]);
    }
}

#[test]
fn what_waits_in_many_files_is_stored_in_as_many_records_as_it_needs() {
    let mut rig = Rig::with(|options| {
        options.queue.entry_bytes_max = 1 << 20;
        let continues = regex::Regex::new(r"^\s").unwrap();
        let mut multiline = crate::options::Multiline::continued_by(continues);
        multiline.timeout = Duration::from_secs(60);
        options.files[0].multiline = Some(multiline);
    });
    let text = "Error".to_owned() + &" at some place".repeat(1_000);
    // A record of the queue has 16 MiB of state at most beside an entry of the largest size.
    let files = (18 << 20) / text.len();
    for file in 0..files {
        rig.append(&format!("{file}.log"), text.clone() + "\n");
    }
    rig.pass();
    rig.wait(6);
    rig.kill(Loss::All);
    for file in 0..files {
        fs::remove_file(rig.path(&format!("{file}.log"))).unwrap();
    }
    rig.wait(60);
    assert!(rig.lines() == vec![text; files]);
}

#[test]
fn lines_are_cut_to_what_a_small_queue_takes() {
    let mut rig = Rig::with(|options| {
        options.queue.bytes = 4 << 20;
        options.filelog.line_bytes_max = 16 << 20;
    });
    let text = "x".repeat(5 << 20);
    rig.append("a.log", text.clone() + "\nshort\n");
    for _ in 0..3 {
        rig.pass();
    }
    let lines = rig.lines();
    assert_eq!(lines.len(), 2);
    assert!(!lines[0].is_empty() && text.starts_with(&lines[0]));
    assert_eq!(lines[1], "short");
    let cut = (text.len() - lines[0].len()) as u64;
    assert_eq!(rig.problems("line_too_long_bytes"), cut);
}
