//! Requests as clients may encode them: the `:authority` is mended, and nothing else changes.

use proptest::prelude::*;

use super::*;

/// How a field's name is given.
#[derive(Clone, Debug)]
enum Name {
    Static(u32),
    Raw(Vec<u8>),
    Huffman(Vec<u8>),
}

#[derive(Clone, Debug)]
enum FieldLine {
    Indexed(u32),
    TableSize(u32),
    Literal {
        /// First byte's pattern and the bits that its index has.
        kind: (u8, u8),
        name: Name,
        huffman: bool,
        value: Vec<u8>,
    },
}

#[derive(Clone, Debug)]
struct Request {
    lines: Vec<FieldLine>,
    padding: Option<u8>,
    priority: bool,
    cuts: Vec<prop::sample::Index>,
}

fn put_integer(out: &mut Vec<u8>, pattern: u8, prefix: u8, mut value: u32) {
    if value < u32::from(prefix) {
        out.push(pattern | value as u8);
        return;
    }
    out.push(pattern | prefix);
    value -= u32::from(prefix);
    while value >= 0x80 {
        out.push(0x80 | (value & 0x7f) as u8);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_string(out: &mut Vec<u8>, huffman: bool, bytes: &[u8]) {
    put_integer(
        out,
        if huffman { 0x80 } else { 0 },
        0x7f,
        bytes.len() as u32,
    );
    out.extend_from_slice(bytes);
}

fn mended(value: &[u8]) -> Vec<u8> {
    (value.iter())
        .map(|&b| {
            if b.is_ascii_alphanumeric() || b == b'.' {
                b
            } else {
                b'-'
            }
        })
        .collect()
}

/// The field block as it is sent, and as it has to arrive.
fn blocks(lines: &[FieldLine]) -> (Vec<u8>, Vec<u8>) {
    let (mut sent, mut expected) = (Vec::new(), Vec::new());
    for line in lines {
        match line {
            FieldLine::Indexed(index) => put_integer(&mut sent, 0x80, 0x7f, *index),
            FieldLine::TableSize(size) => put_integer(&mut sent, 0x20, 0x1f, *size),
            FieldLine::Literal {
                kind: (pattern, prefix),
                name,
                huffman,
                value,
            } => {
                let mut ours = *huffman;
                match name {
                    Name::Static(index) => {
                        put_integer(&mut sent, *pattern, *prefix, *index);
                        ours |= *index != 1;
                    }
                    Name::Raw(name) => {
                        put_integer(&mut sent, *pattern, *prefix, 0);
                        put_string(&mut sent, false, name);
                        ours |= name != b":authority";
                    }
                    Name::Huffman(name) => {
                        put_integer(&mut sent, *pattern, *prefix, 0);
                        put_string(&mut sent, true, name);
                        ours = true;
                    }
                }
                expected.extend_from_slice(&sent[expected.len()..]);
                put_string(&mut sent, *huffman, value);
                let left_alone = sent[expected.len()..].len() - value.len();
                expected.extend_from_slice(&sent[expected.len()..][..left_alone]);
                expected.extend(if ours { value.clone() } else { mended(value) });
            }
        }
        expected.extend_from_slice(&sent[expected.len()..]);
    }
    (sent, expected)
}

fn put_frame(out: &mut Vec<u8>, kind: u8, flags: u8, payload: &[u8]) {
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags, 0, 0, 0, 1]);
    out.extend_from_slice(payload);
}

fn put_request(out: &mut Vec<u8>, request: &Request, block: &[u8]) {
    let mut cuts: Vec<usize> = request
        .cuts
        .iter()
        .map(|cut| cut.index(block.len() + 1))
        .collect();
    cuts.extend([0, block.len()]);
    cuts.sort_unstable();
    for (i, pair) in cuts.windows(2).enumerate() {
        let part = &block[pair[0]..pair[1]];
        if i > 0 {
            put_frame(out, 9, 4, part);
            continue;
        }
        let (mut payload, mut flags) = (Vec::new(), 0);
        if let Some(padding) = request.padding {
            payload.push(padding);
            flags |= 8;
        }
        if request.priority {
            payload.extend_from_slice(b"%%%%%");
            flags |= 0x20;
        }
        payload.extend_from_slice(part);
        // Padding that looks like a field of ours.
        let padding = usize::from(request.padding.unwrap_or(0));
        payload.extend(b"\x41\x05%2F%2".iter().cycle().take(padding));
        put_frame(out, 1, flags, &payload);
    }
    put_frame(out, 0, 1, b"\x41\x05%2F%2 is data");
    put_frame(out, 6, 0, b"\x41\x05%2F%2F");
}

fn field_line() -> impl Strategy<Value = FieldLine> {
    let bytes = |max| prop::collection::vec(any::<u8>(), 0..max);
    let name = prop_oneof![
        3 => Just(Name::Static(1)),
        2 => (2_u32..200).prop_map(Name::Static),
        3 => Just(Name::Raw(b":authority".to_vec())),
        1 => Just(Name::Raw(b":authorit".to_vec())),
        1 => Just(Name::Raw(b":authority2".to_vec())),
        2 => bytes(200).prop_map(Name::Raw),
        1 => bytes(20).prop_map(Name::Huffman),
    ];
    let kind = prop_oneof![Just((0x40, 0x3f)), Just((0x00, 0x0f)), Just((0x10, 0x0f))];
    prop_oneof![
        1 => (1_u32..300).prop_map(FieldLine::Indexed),
        1 => (0_u32..5000).prop_map(FieldLine::TableSize),
        3 => (kind, name, prop::bool::weighted(0.2), bytes(300)).prop_map(
            |(kind, name, huffman, value)| FieldLine::Literal { kind, name, huffman, value }
        ),
    ]
}

fn request() -> impl Strategy<Value = Request> {
    (
        prop::collection::vec(field_line(), 0..8),
        any::<Option<u8>>(),
        any::<bool>(),
        prop::collection::vec(any::<prop::sample::Index>(), 0..3),
    )
        .prop_map(|(lines, padding, priority, cuts)| Request {
            lines,
            padding,
            priority,
            cuts,
        })
}

proptest! {
    #[test]
    fn only_the_authority_changes_wherever_the_bytes_are_cut(
        requests in prop::collection::vec(request(), 1..4),
        chunk in 1_usize..50,
    ) {
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        let (mut sent, mut expected) = (preface.to_vec(), preface.to_vec());
        for request in &requests {
            let (before, after) = blocks(&request.lines);
            put_request(&mut sent, request, &before);
            put_request(&mut expected, request, &after);
        }
        let mut scanner = Scanner::default();
        for chunk in sent.chunks_mut(chunk) {
            scanner.mend(chunk);
        }
        prop_assert_eq!(sent, expected);
    }

    #[test]
    fn any_bytes_keep_their_number_and_a_second_pass_changes_nothing(
        bytes in prop::collection::vec(any::<u8>(), 0..2000),
    ) {
        let mut once = bytes.clone();
        Scanner::default().mend(&mut once);
        let mut twice = once.clone();
        Scanner::default().mend(&mut twice);
        prop_assert_eq!(once.len(), bytes.len());
        prop_assert_eq!(twice, once);
    }
}

#[test]
fn what_the_c_core_sends_becomes_a_host() {
    let line = FieldLine::Literal {
        kind: (0x40, 0x3f),
        name: Name::Raw(b":authority".to_vec()),
        huffman: false,
        value: b"tmp%2Fsession.sock".to_vec(),
    };
    let (mut sent, expected) = blocks(&[line]);
    let mut fields = Fields::Start;
    for byte in &mut sent {
        fields = fields.step(byte);
    }
    assert_eq!(sent, expected);
    assert!(sent.ends_with(b"\x12tmp-2Fsession.sock"));
}
