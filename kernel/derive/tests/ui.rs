//! What the derives say: a contract with everything in it compiles and works, and each common
//! mistake is answered in the words of contracts, at the place where it was made.
//!
//! The expected answers are in `ui/fail/*.stderr`; `TRYBUILD=overwrite cargo test -p
//! modulith-derive` writes them anew, to be read before they are committed.

#[test]
fn contracts_compile_and_mistakes_are_explained() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/pass/*.rs");
    cases.compile_fail("tests/ui/fail/*.rs");
}
