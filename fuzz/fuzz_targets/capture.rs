#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| whichhop_fuzz::hostile::capture(data));
