//! The values: each type's ends, and the shapes that encoders get wrong.

use std::fmt::Debug;

use crate::bindings::trellis::test::types::{
    self, Color, Event, Permissions, Point, Scalars, Shape, Wide,
};

/// Runs every case. `Ok` says how many there were, `Err` which came back changed.
pub fn all() -> Result<String, String> {
    let mut report = Report::default();
    scalars(&mut report);
    lists(&mut report);
    options_and_results(&mut report);
    records(&mut report);
    variants_and_flags(&mut report);
    functions(&mut report);
    report.finish()
}

#[derive(Default)]
struct Report {
    cases: usize,
    changed: Vec<String>,
}

impl Report {
    fn same<T: Debug + PartialEq>(&mut self, name: &str, sent: &T, got: &T) {
        self.cases += 1;
        if sent != got {
            self.changed
                .push(format!("{name}: sent {sent:?}, got {got:?}"));
        }
    }

    fn finish(self) -> Result<String, String> {
        if self.changed.is_empty() {
            Ok(format!("{} cases\n", self.cases))
        } else {
            Err(self.changed.join("\n") + "\n")
        }
    }
}

/// Calls `types::$name` with each value (by value) and compares.
macro_rules! each {
    ($report:ident, $name:ident, $values:expr) => {
        for value in $values {
            let got = types::$name(value.clone());
            $report.same(stringify!($name), &value, &got);
        }
    };
}

/// The same for functions that borrow their argument.
macro_rules! each_ref {
    ($report:ident, $name:ident, $values:expr) => {
        for value in $values {
            let got = types::$name(&value);
            $report.same(stringify!($name), &value, &got);
        }
    };
}

fn scalars(report: &mut Report) {
    each!(report, round_bool, [true, false]);
    each!(report, round_u8, [0, 1, 127, 128, u8::MAX]);
    each!(report, round_u16, [0, 127, 128, 16_384, u16::MAX]);
    each!(report, round_u32, [0, 127, 128, 2_097_152, u32::MAX]);
    each!(report, round_u64, [0, 127, 128, 1 << 56, u64::MAX]);
    each!(report, round_s8, [0, 1, -1, i8::MIN, i8::MAX]);
    each!(report, round_s16, [0, 63, 64, -64, -65, i16::MIN, i16::MAX]);
    each!(report, round_s32, [0, 63, 64, -64, -65, i32::MIN, i32::MAX]);
    each!(report, round_s64, [0, 63, 64, -64, -65, i64::MIN, i64::MAX]);
    each!(
        report,
        round_f32,
        [
            0.0,
            1.5,
            f32::MIN,
            f32::MAX,
            f32::MIN_POSITIVE,
            f32::INFINITY,
            f32::NEG_INFINITY
        ]
    );
    each!(
        report,
        round_f64,
        [
            0.0,
            -1.5,
            f64::MIN,
            f64::MAX,
            f64::MIN_POSITIVE,
            f64::INFINITY,
            f64::NEG_INFINITY
        ]
    );
    // Compared by their bits or kind: -0.0 equals 0.0 and NaN equals nothing.
    report.same(
        "-0.0",
        &(-0.0_f64).to_bits(),
        &types::round_f64(-0.0).to_bits(),
    );
    report.same("NaN f32", &true, &types::round_f32(f32::NAN).is_nan());
    report.same("NaN f64", &true, &types::round_f64(f64::NAN).is_nan());
    each!(
        report,
        round_char,
        ['a', '\0', 'é', '€', '\u{d7ff}', '\u{e000}', '😀', char::MAX]
    );
}

fn lists(report: &mut Report) {
    let long = "long text, ".repeat(20_000);
    for text in ["", "a", "grüße 😀", "with\0zero", long.as_str()] {
        let got = types::round_string(text);
        report.same("round_string", &text, &got.as_str());
    }
    let bytes: Vec<u8> = (0..=255).collect();
    each_ref!(report, round_bytes, [vec![], vec![0], bytes.repeat(1_000)]);
    each_ref!(
        report,
        round_strings,
        [
            vec![],
            vec![String::new()],
            vec!["a".to_owned(), "ß".to_owned(), String::new()]
        ]
    );
    let lists = vec![vec![1_u32, 2, 3], vec![], vec![u32::MAX]];
    let got = types::round_lists(&lists);
    report.same("round_lists", &lists, &got);
}

fn options_and_results(report: &mut Report) {
    for value in [None, Some(""), Some("x")] {
        let got = types::round_option(value);
        report.same("round_option", &value, &got.as_deref());
    }
    each!(
        report,
        round_nested_option,
        [None, Some(None), Some(Some(7))]
    );
    for value in [Ok("fine"), Err(404)] {
        let got = types::round_result(value);
        report.same(
            "round_result",
            &value,
            &got.as_deref().map_err(|code| *code),
        );
    }
    for value in [Ok("fine"), Err(())] {
        let got = types::round_result_ok_only(value);
        report.same(
            "round_result_ok_only",
            &value,
            &got.as_deref().map_err(Clone::clone),
        );
    }
    for value in [Ok(()), Err("broken")] {
        let got = types::round_result_err_only(value);
        report.same(
            "round_result_err_only",
            &value,
            &got.as_ref().copied().map_err(String::as_str),
        );
    }
    each!(report, round_result_empty, [Ok(()), Err(())]);
    let got = types::round_tuple((9, "nine", 9.5));
    report.same("round_tuple", &(9, "nine".to_owned(), 9.5), &got);
}

fn records(report: &mut Report) {
    let scalars = Scalars {
        yes: true,
        u_eight: u8::MAX,
        u_sixteen: u16::MAX,
        u_thirty_two: u32::MAX,
        u_sixty_four: u64::MAX,
        s_eight: i8::MIN,
        s_sixteen: i16::MIN,
        s_thirty_two: i32::MIN,
        s_sixty_four: i64::MIN,
        f_thirty_two: -1.25,
        f_sixty_four: 1e300,
        letter: 'ß',
        text: "all of them".into(),
    };
    each_ref!(report, round_scalars, [scalars]);
    let point = Point { x: -1, y: 1 };
    let empty = Shape {
        name: String::new(),
        points: vec![],
        fill: None,
        note: None,
    };
    let full = Shape {
        name: "triangle".into(),
        points: vec![
            point,
            Point {
                x: i32::MIN,
                y: i32::MAX,
            },
            Point { x: 0, y: 0 },
        ],
        fill: Some(Color::Blue),
        note: Some(Some("with a note".into())),
    };
    let between = Shape {
        note: Some(None),
        ..full.clone()
    };
    each_ref!(report, round_shape, [empty, full, between]);
}

fn variants_and_flags(report: &mut Report) {
    each!(report, round_color, [Color::Red, Color::Green, Color::Blue]);
    let events = vec![
        Event::Started,
        Event::Moved(Point { x: 3, y: -3 }),
        Event::Renamed("new".into()),
        Event::Failed(Ok(1)),
        Event::Failed(Err("why".into())),
        Event::Many(vec![("a".into(), Color::Red), ("b".into(), Color::Blue)]),
        Event::Many(vec![]),
    ];
    each_ref!(report, round_event, events.clone());
    each_ref!(report, round_events, [vec![], events]);
    let permissions = [
        Permissions::empty(),
        Permissions::READ,
        Permissions::WRITE | Permissions::EXECUTE,
        Permissions::all(),
    ];
    each!(report, round_permissions, permissions);
    let wide = [
        Wide::empty(),
        Wide::F0,
        Wide::F8,
        Wide::F7 | Wide::F11,
        Wide::all(),
    ];
    each!(report, round_wide, wide);
}

fn functions(report: &mut Report) {
    types::nothing();
    report.same("join", &"a-2-true".to_owned(), &types::join("a", 2, true));
}
