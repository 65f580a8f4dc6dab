//! What `ss` shows, in an order and with ports that are always the same.

use anyhow::{Result, ensure};

use crate::stage::Stage;

/// Sorts the connections from the backend to the client, renames their ports, and makes columns of
/// them again, which were as wide as the ports that nobody sees.
///
/// ```text
/// ESTAB 128512 0       127.0.0.1:58210 127.0.0.1:41017     ESTAB  0       3877376   127.0.0.1:9000  127.0.0.1:50001
/// ESTAB 0      3877376 127.0.0.1:41017 127.0.0.1:58210  →  ESTAB  128512  0        127.0.0.1:50001   127.0.0.1:9000
/// ```
///
/// With `-m`, what a line says of memory stays below it.
pub fn in_order(stage: &Stage, output: &str) -> Result<String> {
    let titles = ["State", "Recv-Q", "Send-Q", "Local Address:Port", "Peer Address:Port"];
    let words = |line: &str| line.split_whitespace().map(|word| stage.renamed(word)).collect();
    let mut rows: Vec<Vec<String>> = vec![];
    for line in output.lines().skip(1) {
        match rows.last_mut() {
            Some(row) if line.starts_with('\t') => row.push(line.trim_end().into()),
            _ => rows.push(words(line)),
        }
    }
    let is_whole = |row: &Vec<String>| matches!(row.len(), 5 | 6);
    ensure!(output.starts_with("State") && rows.iter().all(is_whole), "{output}");
    let is_server = |address: &str| address.ends_with(":8080") || address.ends_with(":9000");
    rows.sort_by_key(|row| {
        let is_front = row[3].ends_with(":8080") || row[4].ends_with(":8080");
        (is_front, !is_server(&row[3]), row[0] != "ESTAB")
    });
    let mut clients: Vec<String> = vec![];
    for address in rows.iter_mut().flat_map(|row| &mut row[3..5]).filter(|word| !is_server(word)) {
        let known = clients.iter().position(|client| client == address);
        let place = known.unwrap_or(clients.len());
        clients.extend(known.is_none().then(|| address.clone()));
        *address = format!("127.0.0.1:{}", 50001 + place);
    }
    rows.insert(0, titles.map(str::to_string).to_vec());
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..5).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().take(5).zip(&widths).enumerate().map(|(column, (cell, &width))| {
            if column < 3 { format!("{cell:width$}") } else { format!("{cell:>width$}") }
        });
        text += &format!("{}\n", cells.collect::<Vec<_>>().join("  "));
        text.extend(row.get(5).map(|memory| format!("{memory}\n")));
    }
    Ok(text)
}
