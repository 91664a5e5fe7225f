//! Who comes in, and the socket's file.

use std::{
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    sync::Arc,
    time::Duration,
};

use trellis_rpc::socket::{SocketError, SocketOptions, SocketRpc};

use crate::{
    kit::{Elsewhere, Host, Tokens, echo, over_socket, soon, target, unary, until_true},
    raw::{REFUSED, Raw, frame, hello, ready},
};

#[tokio::test]
async fn the_file_is_for_its_owner_only_and_goes_with_its_host() {
    let host = Host::start(SocketOptions::default());
    let metadata = std::fs::metadata(host.path()).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    let others = std::fs::read_dir(host.folder.path()).unwrap().count();
    assert_eq!(others, 1, "nothing else is left in the folder");
    let path = host.path();
    drop(host.rpc);
    until_true("the file is removed", || !path.exists()).await;
}

#[tokio::test]
async fn a_file_that_nobody_listens_on_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "as a process that was killed leaves it");
    let before = std::fs::metadata(&path).unwrap().ino();
    let rpc = SocketRpc::listen(&path, Arc::new(Tokens::default()), SocketOptions::default());
    let rpc = rpc.unwrap();
    let after = std::fs::metadata(&path).unwrap();
    assert!(after.ino() != before && after.permissions().mode() & 0o777 == 0o600);
    drop(rpc);
}

#[tokio::test]
async fn what_is_in_use_is_left_alone() {
    let host = Host::start(SocketOptions::default());
    let listen = |path: &std::path::Path| {
        SocketRpc::listen(path, Arc::new(Tokens::default()), SocketOptions::default())
    };
    let error = listen(&host.path()).unwrap_err();
    assert!(matches!(error, SocketError::Taken { .. }), "{error}");
    let file = host.folder.path().join("notes.txt");
    std::fs::write(&file, "precious").unwrap();
    let error = listen(&file).unwrap_err();
    assert!(matches!(error, SocketError::Taken { .. }), "{error}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    let error = listen(&host.folder.path().join("x".repeat(120))).unwrap_err();
    assert!(matches!(error, SocketError::PathTooLong { .. }), "{error}");
    let error = listen(&host.folder.path().join("no/such/folder")).unwrap_err();
    assert!(error.to_string().contains("folder must exist"), "{error}");
    // The first host is still there.
    host.provider("callee").await;
}

#[tokio::test]
async fn who_has_no_token_or_another_is_refused() {
    let host = Host::start(SocketOptions::default());
    for (what, first) in [
        ("no token", hello(1, 256 << 10, "")),
        ("a wrong one", hello(1, 256 << 10, "calleE")),
        ("another version", hello(2, 256 << 10, "callee")),
        ("no window", hello(1, 0, "callee")),
    ] {
        let mut raw = Raw::connect(&host).await;
        raw.send(&first).await;
        let (kind, why) = raw.next().await.expect(what);
        assert_eq!(kind, REFUSED, "{what}");
        assert!(!why.is_empty() && raw.next().await.is_none(), "{what}");
    }
    let stranger = SocketRpc::connect(host.path(), "guess".into(), SocketOptions::default());
    let waited = tokio::time::timeout(Duration::from_millis(300), stranger.connected()).await;
    assert!(waited.is_err() && stranger.connections() == 0);
    assert_eq!(host.rpc.connections(), 0);
    host.provider("callee").await;
}

#[tokio::test]
async fn who_does_not_begin_with_a_hello_is_out() {
    let host = Host::start(SocketOptions {
        handshake_timeout: Duration::from_millis(200),
        ..SocketOptions::default()
    });
    let long = hello(1, 256 << 10, &"x".repeat(5000));
    for (what, first) in [
        ("something else", ready().to_vec()),
        ("nothing in time", Vec::new()),
        ("half a hello", hello(1, 256 << 10, "callee")[..9].to_vec()),
        ("a token without end", long.to_vec()),
        ("an empty frame", vec![0, 0, 0, 0]),
        ("no frame", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("garbage", frame(200, [0xff; 100]).to_vec()),
    ] {
        let mut raw = Raw::connect(&host).await;
        raw.send(&first).await;
        assert!(raw.next().await.is_none(), "{what}");
    }
    host.provider("callee").await;
}

#[tokio::test]
async fn there_are_only_so_many_connections() {
    let host = Host::start(SocketOptions {
        max_connections: 2,
        ..SocketOptions::default()
    });
    let first = host.provider("callee").await;
    let _second = host.provider("shop").await;
    let mut third = Raw::connect(&host).await;
    third.send(&hello(1, 256 << 10, "shop")).await;
    assert!(third.next().await.is_none());
    drop(first);
    // With a place free it goes on.
    until_true("the place is free", || host.rpc.connections() == 1).await;
    host.provider("callee").await;
}

/// Only root can be somebody else.
#[tokio::test]
async fn another_user_does_not_come_in_even_with_a_token() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("not run as root: another user can't be tried");
        return;
    }
    let host = Host::start(SocketOptions::default());
    // As if the file's mode had been changed.
    let open = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    open(host.folder.path(), 0o755);
    open(&host.path(), 0o666);
    let path = host.path();
    let other = std::thread::spawn(move || {
        become_nobody();
        std::os::unix::net::UnixStream::connect(path)
    });
    let socket = other.join().unwrap().unwrap();
    socket.set_nonblocking(true).unwrap();
    let mut raw = Raw {
        socket: tokio::net::UnixStream::from_std(socket).unwrap(),
    };
    raw.send(&hello(1, 256 << 10, "callee")).await;
    assert!(raw.next().await.is_none());
    // What is wrong is the user, not the rest.
    let callee = host.provider("callee").await;
    let _serving = callee.serve(&target(), echo(), Default::default());
    let route = host.rpc.route(&target(), Arc::new(Elsewhere::default()));
    over_socket(&route).await;
    assert_eq!(unary(&route, "x").await.unwrap(), "x");
}

/// Makes this thread, and no other, another user's: users are a thread's own for the kernel.
fn become_nobody() {
    const NOBODY: u32 = 65534;
    // SAFETY: the call takes numbers only.
    let result = unsafe { libc::syscall(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

#[tokio::test]
async fn a_host_that_comes_back_is_found_again() {
    let mut host = Host::start(SocketOptions::default());
    let callee = host.provider("callee").await;
    let _serving = callee.serve(&target(), echo(), Default::default());
    let path = host.path();
    drop(host.rpc);
    until_true("the provider knows", || callee.connections() == 0).await;
    let tokens = Tokens([("callee", "callee")].into());
    host.rpc = SocketRpc::listen(&path, Arc::new(tokens), SocketOptions::default()).unwrap();
    let route = host.rpc.route(&target(), Arc::new(Elsewhere::default()));
    over_socket(&route).await;
    assert_eq!(unary(&route, "again").await.unwrap(), "again");
    soon("the provider's connection", callee.connected()).await;
}
