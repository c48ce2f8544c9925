//! Pages, pictures and shortcuts in markup, scripts, tables. The first byte chooses the kind.

#![no_main]

use libfuzzer_sys::fuzz_target;

const KINDS: &[(&str, &[u8])] = &[
    ("a.html", b"<html>"),
    ("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'>"),
    ("a.xml", b"<?xml version='1.0'?><!DOCTYPE a ["),
    ("a.url", b"[InternetShortcut]\r\n"),
    ("a.desktop", b"[Desktop Entry]\n"),
    ("a.library-ms", b"<?xml version='1.0'?><libraryDescription>"),
    ("a.reg", b"Windows Registry Editor Version 5.00\r\n"),
    ("a.jse", b"#@~^"),
    ("a.csv", b""),
    ("a.slk", b"ID;P"),
    ("a.js", b""),
];

fuzz_target!(|bytes: &[u8]| guarita_fuzz::look_at_one_of(KINDS, bytes));
