//! Reads cases line by line, as ../cases.ts writes them, and says of each what `verify` made of it.
mod verify;

use base64::{Engine, engine::general_purpose::STANDARD};
use std::collections::HashMap;

fn decode(text: &str) -> Vec<u8> {
    STANDARD.decode(text).expect("cases are base64")
}

fn main() {
    for line in std::io::stdin().lines() {
        let line = line.expect("cases are lines of ASCII");
        let fields: Vec<&str> = line.split('\t').collect();
        let secrets: Vec<String> = fields[1].split(',').map(|s| String::from_utf8(decode(s)).unwrap()).collect();
        let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
        let headers: HashMap<String, Vec<u8>> = fields[2]
            .split(',')
            .filter_map(|header| header.split_once(':'))
            .map(|(name, value)| (name.to_lowercase(), decode(value)))
            .collect();
        // As HeaderValue::to_str has it: visible ASCII or nothing.
        let header = |name: &str| {
            let value = std::str::from_utf8(headers.get(name)?).ok()?;
            value.bytes().all(|byte| (0x20..0x7f).contains(&byte) || byte == b'\t').then_some(value)
        };
        match verify::verify(&secrets, header, &decode(fields[3]), fields[0].parse().unwrap()) {
            Ok(()) => println!("accepted"),
            Err(reason) => println!("refused {reason}"),
        }
    }
}
