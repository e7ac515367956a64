//! Records what the extension is built with, for `show_config`.

use std::process::Command;

fn main() {
    let variable = |name| std::env::var(name).unwrap_or_default();
    let rustc = Command::new(variable("RUSTC")).arg("--version").output();
    let rustc = rustc.ok().and_then(|output| String::from_utf8(output.stdout).ok());
    println!("cargo::rustc-env=SEEDBED_RUSTC={}", rustc.unwrap_or_default().trim());
    println!("cargo::rustc-env=SEEDBED_TARGET={}", variable("TARGET"));
    println!("cargo::rustc-env=SEEDBED_PROFILE={}", variable("PROFILE"));
    println!("cargo::rerun-if-changed=build.rs");
}
