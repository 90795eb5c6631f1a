//! Servers in a room of their own, built by the real bubblewrap.

use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use strongroom_process::{
    Group, Groups, Guard, Guarded, Limits, Output, Room, Sandbox, Start, run,
};

const LONG: Duration = Duration::from_mins(1);
const US: &str = env!("CARGO_BIN_EXE_strongroom");

fn start(program: &str, args: &[&str]) -> Start {
    Start {
        args: args.iter().map(Into::into).collect(),
        env: vec![("HOME".into(), "/home/server".into()), ("PATH".into(), "/usr/bin:/bin".into())],
        ..Start::new(program)
    }
}

fn inside(start: &Start, room: &Room) -> Output {
    let sandbox = Sandbox::find(Path::new(US)).unwrap();
    run(&sandbox.wrap(start, room), b"", LONG, 1 << 16).unwrap()
}

fn sh(script: &str, room: &Room) -> String {
    let output = inside(&start("/bin/sh", &["-c", script]), room);
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8(text).unwrap()
}

fn python(script: &str, room: &Room) -> String {
    let output = inside(&start("/usr/bin/python3", &["-c", script]), room);
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8(text).unwrap()
}

/// A folder that is nobody's home, with a file in it.
fn folder() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().canonicalize().unwrap();
    std::fs::write(path.join("file"), "there").unwrap();
    (dir, path)
}

#[test]
fn a_server_sees_files_that_were_named_and_no_others() {
    let (_dir, path) = folder();
    let script = format!("cat {}/file", path.display());
    assert!(sh(&script, &Room::default()).contains("No such file"));
    assert_eq!(sh(&script, &Room { read: vec![path], ..Room::default() }), "there");
    let seen = sh("ls -a / /home/server; test -e /etc/shadow || echo none", &Room::default());
    assert!(!seen.contains("root") && seen.contains("none"), "{seen}");
}

#[test]
fn it_writes_to_folders_that_were_named_and_to_its_own_and_nowhere_else() {
    let (_dir, path) = folder();
    let script = format!(
        "for d in {} /usr /etc / /tmp $HOME; do (echo x > $d/new) 2>/dev/null && echo $d; done",
        path.display(),
    );
    let reader = Room { read: vec![path.clone()], ..Room::default() };
    assert_eq!(sh(&script, &reader), "/tmp\n/home/server\n");
    assert!(!path.join("new").exists() && !Path::new("/home/server/new").exists());
    let writer = Room { write: vec![path.clone()], ..Room::default() };
    assert_eq!(sh(&script, &writer), format!("{}\n/tmp\n/home/server\n", path.display()));
    assert_eq!(std::fs::read_to_string(path.join("new")).unwrap(), "x\n");
}

#[test]
fn our_own_folders_are_empty_to_it_even_in_one_that_it_may_write() {
    let (_dir, path) = folder();
    let ours = path.join("vault");
    std::fs::create_dir(&ours).unwrap();
    std::fs::write(ours.join("key"), "canary").unwrap();
    let script = format!("cat {0}/key; echo x > {0}/key", ours.display());
    let seen = Room { write: vec![path.clone()], ..Room::default() };
    assert_eq!(sh(&script, &seen), "canary");
    std::fs::write(ours.join("key"), "canary").unwrap();
    let hidden = Room { write: vec![path], hide: vec![ours.clone()], ..Room::default() };
    assert!(!sh(&script, &hidden).contains("canary"));
    assert_eq!(std::fs::read_to_string(ours.join("key")).unwrap(), "canary");
}

#[test]
fn it_reaches_no_address_unless_it_has_the_network() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let script = format!(
        "import socket\ntry:\n s = socket.create_connection(('127.0.0.1', {port}), 5); print('in')\n\
         except OSError as e: print('out')"
    );
    assert_eq!(python(&script, &Room::default()), "out\n");
    assert_eq!(python(&script, &Room { network: true, ..Room::default() }), "in\n");
}

#[test]
fn it_sees_no_process_of_others_and_signals_none() {
    let us = std::process::id();
    let script = format!("ls /proc | grep -cE '^[0-9]+$'; kill -0 {us} 2>/dev/null || echo none");
    let seen = sh(&script, &Room::default());
    let (count, rest) = seen.split_once('\n').unwrap();
    assert!(count.parse::<u32>().unwrap() <= 8, "{seen}");
    assert_eq!(rest, "none\n");
}

#[test]
fn it_has_no_rights_and_gets_none() {
    let seen =
        sh("grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status", &Room::default());
    let seen: Vec<_> = seen.split_ascii_whitespace().collect();
    let none = "0000000000000000";
    let expected = ["CapBnd:", none, "NoNewPrivs:", "1", "Seccomp:", "2"];
    assert_eq!(seen, [&["CapEff:", none][..], &expected].concat());
}

#[test]
fn system_calls_by_which_rooms_are_left_fail_and_threads_and_children_work() {
    let script = "\
import ctypes, os, subprocess, threading
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *args):
    ctypes.set_errno(0)
    done = getattr(libc, name)(*args)
    print(name, 'done' if done >= 0 else os.strerror(ctypes.get_errno()))
call('unshare', 0x10000000)
call('mount', b'none', b'/tmp', b'tmpfs', 0, None)
call('ptrace', 0, 0, 0, 0)
call('chroot', b'/tmp')
call('socket', 38, 5, 0)
call('socket', 2, 1, 0)
call('getpid')
t = threading.Thread(target=lambda: print('thread')); t.start(); t.join()
print(subprocess.run(['/bin/echo', 'child'], capture_output=True, text=True).stdout, end='')
";
    let no = "Operation not permitted";
    let expected = format!(
        "unshare {no}\nmount {no}\nptrace {no}\nchroot {no}\nsocket {no}\nsocket done\n\
         getpid done\nthread\nchild\n"
    );
    assert_eq!(python(script, &Room::default()), expected);
}

#[test]
fn memory_files_and_processes_end_at_their_limits() {
    let memory =
        "try:\n b = bytearray(200 << 20); print('fits')\nexcept MemoryError: print('too much')";
    let small = Limits { memory: 128 << 20, ..Limits::default() };
    assert_eq!(python(memory, &Room { limits: small, ..Room::default() }), "too much\n");
    assert_eq!(python(memory, &Room::default()), "fits\n");

    let file = "head -c 3000000 /dev/zero > /tmp/f 2>/dev/null; wc -c < /tmp/f";
    let small = Limits { file_bytes: 1 << 20, ..Limits::default() };
    assert_eq!(sh(file, &Room { limits: small, ..Room::default() }), "1048576\n");
    assert_eq!(sh(file, &Room::default()), "3000000\n");
}

/// The kernel counts no processes of root's: as root, this is somebody else for a while.
#[test]
fn there_are_no_more_processes_than_it_may_have() {
    let many = "for i in 1 2 3 4 5 6 7 8 9; do sleep 1 & done 2>/dev/null; wait; echo all";
    let (_dir, path) = folder();
    let helper = path.join("strongroom");
    std::fs::copy(US, &helper).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    let sandbox = Sandbox::find(&helper).unwrap();
    let said = |processes| {
        let limits = Limits { processes, ..Limits::default() };
        let room = Room { limits, ..Room::default() };
        let mut inside = sandbox.wrap(&start("/bin/sh", &["-c", many]), &room);
        if !sandbox.layers().processes {
            let words = ["--reuid=65534", "--regid=65534", "--clear-groups"].map(Into::into);
            inside.args.splice(0..0, [&words[..], &[inside.program.into()]].concat());
            inside.program = "/usr/bin/setpriv".into();
        }
        run(&inside, b"", LONG, 1 << 16).unwrap().stdout
    };
    assert_eq!(said(5), b"");
    assert_eq!(said(50), b"all\n");
}

#[test]
fn it_ends_as_its_program_did_and_says_what_could_not_be_started() {
    let code = |start: &Start| inside(start, &Room::default()).status.code();
    assert_eq!(code(&start("/bin/sh", &["-c", "exit 7"])), Some(7));
    assert_eq!(code(&start("/usr/bin/nowhere-to-be-found", &[])), Some(127));
}

#[test]
fn arguments_and_variables_arrive_as_they_are_and_the_name_too() {
    let mut server = start("/bin/sh", &["-c", "echo \"$0|$1|$A|$PWD\"", "zero", "--ro-bind / /"]);
    server.env.push(("A".into(), "canary".into()));
    let output = inside(&server, &Room::default());
    assert_eq!(output.stdout, b"zero|--ro-bind / /|canary|/home/server\n");
}

#[test]
fn run_puts_a_server_into_the_room_that_it_is_to_have_and_into_no_other() {
    let user = crate::sandbox::Sandbox::headless().with("PATH", "/usr/bin:/bin");
    let notes = user.write("work/notes/today", "there");
    let folder = notes.parent().unwrap().display().to_string();
    let vault = user.path(".local/state/strongroom").display().to_string();
    let script = format!(
        "cat {folder}/today; ls -A {vault} | wc -l; ls -A $HOME | wc -l; echo x > {folder}/new"
    );
    let config = user.read(".config/strongroom/strongroom.toml");
    let server = |name: &str, isolate: &str| {
        format!("[servers.{name}]\ncommand = [\"/bin/sh\", \"-c\", '{script}']\n{isolate}\n")
    };
    let plain = server("plain", "");
    let closed = server("closed", "isolate = true");
    let open = server("open", &format!("isolate = {{ write = [\"{folder}\"] }}"));
    user.write(".config/strongroom/strongroom.toml", &format!("{config}\n{plain}{closed}{open}"));
    let ran = |name: &str| {
        let ran = user.run(&format!("run {name} --once"));
        ran.stdout.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(ran("closed"), ["0", "0"]);
    assert!(!Path::new(&folder).join("new").exists());
    let seen = ran("open");
    assert_eq!(
        (&*seen[0], &*seen[1]),
        ("there0", "1"),
        "its home holds the way to the folder alone"
    );
    assert!(Path::new(&folder).join("new").exists());
    let seen = ran("plain");
    assert!(seen[0].starts_with("there") && seen[0] != "there0", "{seen:?}");
}

#[test]
fn nothing_is_left_of_it_when_its_guard_is_told_to_end() {
    let sandbox = Sandbox::find(Path::new(US)).unwrap();
    let (_dir, path) = folder();
    let room = Room { write: vec![path.clone()], ..Room::default() };
    let script = format!(
        "trap '' TERM; (setsid sleep 4321 &) ; echo up > {}/up; sleep 4321",
        path.display()
    );
    let server = sandbox.wrap(&start("/bin/sh", &["-c", &script]), &room);
    let mut server =
        Guarded::start(&server, &Guard { program: US.into(), ..Guard::default() }).unwrap();
    until(|| path.join("up").exists());
    let session = server.id();
    assert!(!alive(session).is_empty());
    server.end();
    until(|| server.ended().unwrap().is_some());
    until(|| alive(session).is_empty());
}

/// The processes that were started, however deep, by the process with this id or are it.
fn alive(root: u32) -> Vec<u32> {
    let mut all = vec![root];
    let mut at = 0;
    while let Some(id) = all.get(at) {
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        let children = children.unwrap_or_default();
        all.extend(children.split_ascii_whitespace().map(|id| id.parse::<u32>().unwrap()));
        at += 1;
    }
    all.retain(|id| Path::new(&format!("/proc/{id}")).exists());
    all
}

fn until(mut done: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it did not happen within 20 s");
}

#[test]
fn in_a_stand_in_for_the_tree_a_server_is_in_its_control_group_or_is_not_started() {
    let (_dir, tree) = folder();
    std::fs::write(tree.join("cgroup.controllers"), "memory pids").unwrap();
    let groups = Groups::within(tree.clone(), &tree).unwrap();
    let started = |group: &Arc<Group>| {
        let guard =
            Guard { program: US.into(), group: Some(Arc::clone(group)), ..Guard::default() };
        let mut server = Guarded::start(&start("/bin/echo", &["begun"]), &guard).unwrap();
        let mut said = String::new();
        server.stdout().unwrap().read_to_string(&mut said).unwrap();
        let mut why = String::new();
        server.stderr().unwrap().read_to_string(&mut why).unwrap();
        let code = loop {
            match server.ended().unwrap() {
                Some(status) => break status.code(),
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        (said, why, code)
    };
    let group = Arc::new(groups.group(&Limits::default()).unwrap());
    let made = std::fs::read_dir(&tree).unwrap().flatten().map(|entry| entry.path());
    let place = made.into_iter().find(|path| path.join("memory.max").exists()).unwrap();
    assert_eq!(started(&group), ("begun\n".to_owned(), String::new(), Some(0)));
    assert_eq!(std::fs::read_to_string(place.join("cgroup.procs")).unwrap(), "0", "the guard's");

    std::fs::remove_dir_all(&place).unwrap();
    let (said, why, code) = started(&group);
    assert_eq!((said.as_str(), code), ("", Some(125)));
    let expected = "the server was not started, because its control group cannot be entered";
    assert!(why.starts_with(expected), "{why}");
}
