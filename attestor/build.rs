//! Rebuilds the attestor when a migration is added: the compiler does not see that folder.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
