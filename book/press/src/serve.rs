//! The book on 127.0.0.1, which reloads itself when a page or a step changes.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::http::{HeaderValue, header};
use notify::{Event, RecursiveMode, Watcher};
use tower_http::services::{ServeDir, ServeFile};
use tower_http::set_header::SetResponseHeaderLayer;
use tower_livereload::{LiveReloadLayer, Reloader};

use crate::Project;

/// How long we wait for further changes before we build. An editor may write a file in several steps.
const SETTLED: Duration = Duration::from_millis(300);
/// How many ports after a taken one are tried.
const PORTS: u16 = 50;

/// Opens the first free port from `port` on. The caller can compare whether it is the one asked for.
pub fn listen(port: u16) -> Result<TcpListener> {
    let last = port.saturating_add(PORTS);
    let all: Vec<_> = (port..=last).map(|port| (Ipv4Addr::LOCALHOST, port).into()).collect();
    TcpListener::bind(&all[..] as &[SocketAddr])
        .with_context(|| format!("no port from {port} to {last} can be used: say --port N"))
}

/// The pages as a service. Their directory may be replaced; the [`Reloader`] tells browsers of it.
pub fn pages(directory: &Path) -> (Router, Reloader) {
    let not_found = ServeFile::new(directory.join("404.html"));
    let files = ServeDir::new(directory).not_found_service(not_found);
    let no_store = HeaderValue::from_static("no-store");
    let no_store = SetResponseHeaderLayer::overriding(header::CACHE_CONTROL, no_store);
    let live = LiveReloadLayer::new();
    let reloader = live.reloader();
    (Router::new().fallback_service(files).layer(no_store).layer(live), reloader)
}

/// Serves until the program ends.
pub fn serve(listener: TcpListener, router: Router) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("starting the server")?.block_on(async {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        axum::serve(listener, router).await?;
        Ok(())
    })
}

/// Waits for changes in the files that the book is made from. Each item is a set of files that changed
/// at about the same time.
pub fn changes(project: &Project) -> Result<impl Iterator<Item = BTreeSet<PathBuf>>> {
    let (tell, heard) = channel();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        // Building the book opens its files, and that must not start the next build.
        if let Some(event) = event.ok().filter(|event| !event.kind.is_access()) {
            // This fails only while the program ends, when nobody listens anymore.
            let _ = tell.send(event.paths);
        }
    })
    .context("watching files")?;
    // All that the book is made from. (The press is in there too; that only means one build more.)
    for directory in ["book", "steps"].map(|name| project.root().join(name)) {
        let watched = watcher.watch(&directory, RecursiveMode::Recursive);
        watched.with_context(|| format!("watching {}", directory.display()))?;
    }
    Ok(std::iter::from_fn(move || {
        let _watching = &watcher;
        let mut changed = BTreeSet::from_iter(heard.recv().ok()?);
        while let Ok(more) = heard.recv_timeout(SETTLED) {
            changed.extend(more);
        }
        Some(changed)
    }))
}
