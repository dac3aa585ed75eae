//! The built object and bg-common say the same.

use aya_obj::Object;
use bg_common::names::PROGRAMS;
use bg_common::table::TABLES;
use bg_userspace::dataplane::kernel::OBJECT;
use std::collections::BTreeSet;

#[test]
fn every_table_of_the_object_has_the_form_of_the_contract() {
    let object = Object::parse(OBJECT).expect("the object can be parsed");
    let names: BTreeSet<&str> = object.maps.keys().map(String::as_str).collect();
    // Nothing in it outlasts a packet.
    let own = ["SCRATCH"];
    assert_eq!(names, TABLES.iter().map(|table| table.name).chain(own).collect());
    for table in &TABLES {
        let map = &object.maps[table.name];
        let built = (map.map_type(), map.key_size(), map.value_size(), map.max_entries(), map.map_flags());
        let wanted = (table.kind as u32, table.key_size, table.value_size, table.max_entries, table.flags);
        assert_eq!(built, wanted, "{}", table.name);
    }
}

#[test]
fn the_object_holds_the_named_programs_under_a_license_that_helpers_accept() {
    let object = Object::parse(OBJECT).expect("the object can be parsed");
    let names: BTreeSet<&str> = object.programs.keys().map(String::as_str).collect();
    assert_eq!(names, PROGRAMS.into_iter().collect());
    assert_eq!(object.license.to_str(), Ok("Dual MIT/GPL"));
}
