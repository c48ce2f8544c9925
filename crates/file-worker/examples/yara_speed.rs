use boreal::compiler::{Compiler, CompilerParams};
use boreal::scanner::ScanParams;
use std::time::Instant;
fn main() {
    let mut args = std::env::args().skip(1);
    let text = std::fs::read_to_string(args.next().unwrap()).unwrap();
    let data: Vec<Vec<u8>> = args
        .map(|p| {
            let mut d = std::fs::read(p).unwrap();
            d.truncate(16 << 20);
            d
        })
        .collect();
    let mut rules: Vec<String> = Vec::new();
    for line in text.lines() {
        if line.starts_with("rule ") {
            rules.push(String::new());
        }
        if let Some(r) = rules.last_mut() {
            r.push_str(line);
            r.push('\n');
        }
    }
    rules.push(text.clone());
    for r in rules {
        let mut c = Compiler::new();
        c.set_params(CompilerParams::default().disable_includes(true));
        c.add_rules_str(&r).unwrap();
        let mut s = c.finalize();
        s.set_scan_params(ScanParams::default().compute_full_matches(false).string_max_nb_matches(1000));
        let name = r.lines().next().unwrap().to_owned();
        print!("{name:40}");
        for d in &data {
            let t = Instant::now();
            let _ = s.scan_mem(d);
            print!(" {:7.0} MB/s", d.len() as f64 / 1e6 / t.elapsed().as_secs_f64());
        }
        println!();
    }
}
