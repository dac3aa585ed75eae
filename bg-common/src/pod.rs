//! Marks the table types as plain old data, beside the proof of their sizes.

use crate::{
    Backend, Bucket, Connected, Endpoint, Flow, FlowKey, Fragment, FragmentKey, Frontend, Name, NatKey,
    PreviewKey, Recent, Service, Settings, Source, Traffic, Word,
};

macro_rules! pod {
    ($($ty:ty: $size:literal),* $(,)?) => {$(
        const _: () = assert!(size_of::<$ty>() == $size);
        // SAFETY: `repr(C)` or transparent over integers and byte arrays whose sizes add up to the
        // asserted one: no padding, no niche, no pointer.
        unsafe impl aya::Pod for $ty {}
    )*};
}

pod! {
    Word: 8,
    Name: 64,
    Service: 40,
    Frontend: 8,
    Endpoint: 24,
    Backend: 32,
    FlowKey: 24,
    Flow: 16,
    PreviewKey: 24,
    FragmentKey: 40,
    Fragment: 16,
    Settings: 8,
    Traffic: 128,
    Connected: 56,
    Source: 32,
    NatKey: 8,
    Recent: 96,
    Bucket<Frontend>: 128,
    Bucket<u64>: 128,
}
