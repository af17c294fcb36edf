//! `decode` allocates nothing: captures of millions of packets are read at the speed of memory.

// Only a global allocator can count allocations, and the trait of allocators is unsafe.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use whichhop::packet::build::{self, Echo, Syn};
use whichhop::packet::{HopLimit, Icmp, LinkType, MacAddr, SeqNumber, Transport, decode};

struct Counting;

thread_local! {
    // By thread: the test harness allocates on its own.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: everything is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

fn frames() -> Vec<(LinkType, Vec<u8>)> {
    let mut frames = Vec::new();
    for (source, destination) in [("10.22.0.1", "198.19.0.4"), ("fd22::1", "2001:db8::4")] {
        let (source, destination) =
            (source.parse().expect("an address"), destination.parse().expect("an address"));
        let syn = build::syn(&Syn {
            hop_limit: HopLimit(5),
            flow_label: 1,
            ..Syn::plain((source, 50022).into(), (destination, 22).into(), SeqNumber(7))
        });
        let hop_limit = HopLimit(5);
        let mut error = build::echo(&Echo {
            source,
            destination,
            hop_limit,
            identifier: 0,
            sequence: 0,
            token: [0; 6],
            identification: 0,
        });
        // The echo's header, made a time exceeded that quotes the SYN.
        let (header, kind) = if error[0] >> 4 == 4 { (20, 11) } else { (40, 3) };
        error[header] = kind;
        error.truncate(header + 8);
        error.extend_from_slice(&syn);
        let length = (8 + syn.len() + if header == 20 { 20 } else { 0 }) as u8;
        error[if header == 20 { 3 } else { 5 }] = length;
        frames.push((LinkType::ETHERNET, build::ethernet(MacAddr([2; 6]), MacAddr([4; 6]), &error)));
        frames.push((LinkType::RAW, error));
        frames.push((LinkType::RAW, syn));
    }
    frames
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(vec![0_u8; 100]))), 1);
}

#[test]
fn decode_allocates_nothing() {
    let frames = frames();
    let mut errors = 0;
    let count = allocations(|| {
        for (link, frame) in &frames {
            for cut in 0..=frame.len() {
                for link in [*link].into_iter().chain((0..300).map(LinkType)) {
                    let Ok(packet) = decode(link, &frame[..cut]) else { continue };
                    match packet.transport {
                        Transport::Tcp(tcp) => {
                            std::hint::black_box((tcp.options.layout(), tcp.checksum_ok(&packet.ip)));
                        }
                        Transport::Icmp(Icmp::Error(error)) if error.quoted.is_some() => errors += 1,
                        _ => (),
                    }
                }
            }
        }
    });
    assert!(errors > 100, "the frames must reach the quotes");
    assert_eq!(count, 0);
}
