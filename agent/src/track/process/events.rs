//! What the kernel's process connector says: netlink messages of `linux/connector.h` with the events of `linux/cn_proc.h`,
//! in the byte order of this machine.

use rtnetlink::packet_core::NetlinkBuffer;

/// `CN_IDX_PROC`, also the multicast group.
pub(super) const INDEX: u32 = 1;
/// `CN_VAL_PROC`.
const VALUE: u32 = 1;
/// `struct nlmsghdr`.
const NETLINK_HEADER_LEN: usize = 16;
/// `struct cn_msg` up to its data.
const MESSAGE_HEADER_LEN: usize = 20;
/// `what`, `cpu` and `timestamp_ns` of `struct proc_event`.
const EVENT_HEADER_LEN: usize = 16;

const EVENT_FORK: u32 = 0x1;
const EVENT_EXEC: u32 = 0x2;
const EVENT_COMM: u32 = 0x200;
const EVENT_EXIT: u32 = 0x8000_0000;

/// What happened to a process. Events of threads and of things nobody asks for are [`Event::Other`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The kernel's answer to somebody's request for events: 0, or an error number.
    Answer(u32),
    /// `child` is a copy of `parent`.
    Fork {
        /// Process id of who forked.
        parent: u32,
        /// Process id of the new one.
        child: u32,
    },
    /// It became another program.
    Exec(u32),
    /// It took another name.
    Name(u32),
    /// It ended.
    Exit(u32),
    /// Something else.
    Other,
}

/// `PROC_CN_MCAST_LISTEN`, or `PROC_CN_MCAST_IGNORE`, as a message to the kernel.
pub(super) fn request(listen: bool) -> [u8; NETLINK_HEADER_LEN + MESSAGE_HEADER_LEN + 4] {
    const NLMSG_DONE: u16 = 3;
    let mut request = [0; NETLINK_HEADER_LEN + MESSAGE_HEADER_LEN + 4];
    let length = u32::try_from(request.len()).unwrap_or(u32::MAX);
    let mut message = NetlinkBuffer::new(&mut request[..]);
    message.set_length(length);
    message.set_message_type(NLMSG_DONE);
    let data = message.payload_mut();
    let operation: u32 = if listen { 1 } else { 2 };
    let length: u16 = 4;
    let fields = [INDEX, VALUE, 0, 0].map(u32::to_ne_bytes).concat();
    let fields = [&fields[..], &length.to_ne_bytes(), &[0; 2], &operation.to_ne_bytes()].concat();
    for (place, byte) in data.iter_mut().zip(fields) {
        *place = byte;
    }
    request
}

/// Reads every event of a datagram. One that is not as the kernel writes it is left out.
pub(super) fn read(datagram: &[u8]) -> Vec<Event> {
    let mut rest = datagram;
    let mut events = Vec::new();
    while let Ok(message) = NetlinkBuffer::new_checked(rest) {
        events.extend(read_message(message.payload()));
        // Each begins at a multiple of four bytes.
        let length = usize::try_from(message.length()).unwrap_or(usize::MAX).next_multiple_of(4);
        rest = rest.get(length..).unwrap_or_default();
    }
    events
}

fn read_message(message: &[u8]) -> Option<Event> {
    if (number(message, 0)?, number(message, 4)?) != (INDEX, VALUE) {
        return None;
    }
    let event = message.get(MESSAGE_HEADER_LEN..)?;
    let field = |index: usize| number(event, EVENT_HEADER_LEN + 4 * index);
    Some(match number(event, 0)? {
        0 => Event::Answer(field(0)?),
        // Parent's thread and process, child's thread and process.
        EVENT_FORK => match (field(1)?, field(2)?, field(3)?) {
            (parent, thread, child) if thread == child => Event::Fork { parent, child },
            _ => Event::Other,
        },
        // Thread and process: after an exec there is only the first thread.
        EVENT_EXEC => Event::Exec(field(1)?),
        EVENT_COMM => of_process(field(0)?, field(1)?, Event::Name),
        EVENT_EXIT => of_process(field(0)?, field(1)?, Event::Exit),
        _ => Event::Other,
    })
}

fn of_process(thread: u32, process: u32, event: impl FnOnce(u32) -> Event) -> Event {
    if thread == process { event(process) } else { Event::Other }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What Linux 6.18 sent on a little-endian machine (an answer; bash forks, the child runs `true`, it ends).
    #[cfg(target_endian = "little")]
    #[test]
    fn what_the_kernel_sent() {
        let message = |length: u8, tail: &str| {
            let header = format!("{length:02x}000000030000000000000000000000");
            let hex = format!("{header}0100000001000000000000000000000028000000{tail}");
            let digits: Vec<_> =
                hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap()).collect();
            let mut bytes: Vec<u8> =
                digits.into_iter().map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
            bytes.resize(usize::from(length), 0);
            bytes
        };
        let time = "00000000aabbccdd00000000";
        let cases = [
            (format!("00000000{time}"), Event::Answer(0)),
            (
                format!("01000000{time}585d0000585d0000855d0000855d0000"),
                Event::Fork { parent: 0x5d58, child: 0x5d85 },
            ),
            (format!("01000000{time}585d0000585d0000865d0000855d0000"), Event::Other),
            (format!("02000000{time}855d0000855d0000"), Event::Exec(0x5d85)),
            (format!("00020000{time}855d0000855d00006d7973"), Event::Name(0x5d85)),
            (format!("00020000{time}865d0000855d00006d7973"), Event::Other),
            (format!("00000080{time}855d0000855d00000000000011000000585d0000585d0000"), Event::Exit(0x5d85)),
            (format!("00000080{time}865d0000855d00000000000011000000585d0000585d0000"), Event::Other),
            (format!("04000000{time}855d0000855d0000"), Event::Other),
        ];
        let mut all = Vec::new();
        for (tail, event) in &cases {
            assert_eq!(read(&message(76, tail)), [*event], "{tail}");
            all.extend(message(76, tail));
        }
        assert_eq!(read(&all), cases.each_ref().map(|(_, event)| *event));
    }

    #[test]
    fn a_request_is_what_the_header_files_say() {
        let mut expected = Vec::new();
        for field in [40_u32, 3, 0, 0, 1, 1, 0, 0] {
            expected.extend(field.to_ne_bytes());
        }
        expected.extend(4_u16.to_ne_bytes());
        expected.extend(0_u16.to_ne_bytes());
        expected.extend(1_u32.to_ne_bytes());
        assert_eq!(request(true)[..], expected);
        assert_eq!(request(false)[36..], 2_u32.to_ne_bytes());
    }

    proptest! {
        #[test]
        fn nothing_panics(datagram in proptest::collection::vec(any::<u8>(), 0..200), length in 0_u32..220) {
            read(&datagram);
            let mut shaped = datagram;
            if let Some(place) = shaped.get_mut(..4) {
                place.copy_from_slice(&length.to_ne_bytes());
            }
            read(&shaped);
        }
    }
}
