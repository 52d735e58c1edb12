//! Shapes resolved for one version, so that walking a message takes no decision twice.

use std::sync::LazyLock;

use super::requests::REQUESTS;
use super::responses::RESPONSES;
use super::shape::{Field, Kind, MessageShape, Scalar, StructShape};

/// What the walker does next. Neighbouring fixed-width fields are one step.
pub(super) enum Step {
    Skip {
        field: &'static str,
        width: usize,
    },
    /// An error code: a fixed width too, but some want to know what it says.
    Code {
        field: &'static str,
    },
    String {
        field: &'static str,
        nullable: bool,
        compact: bool,
    },
    Bytes {
        field: &'static str,
        nullable: bool,
        compact: bool,
    },
    Array {
        field: &'static str,
        nullable: bool,
        compact: bool,
        element: Element,
    },
    Optional {
        field: &'static str,
        steps: Box<[Step]>,
    },
    Tags(Box<[Tagged]>),
}

/// The elements of an array.
pub(super) struct Element {
    pub(super) steps: Box<[Step]>,
    /// The fewest bytes an element takes on the wire; at least 1.
    pub(super) smallest: usize,
    /// Some: every element takes exactly this many bytes and needs no look inside.
    pub(super) fixed_width: Option<usize>,
    /// Bytes one decoded element takes in its vector.
    pub(super) decoded_size: usize,
}

/// A tag the message's schema defines, in this version or a later one.
pub(super) struct Tagged {
    pub(super) tag: u32,
    pub(super) field: &'static str,
    /// None: defined, but not in this version.
    pub(super) steps: Option<Box<[Step]>>,
}

/// Every version of every message in one direction, by API key.
pub(super) struct Plans(Vec<Option<ApiPlan>>);

struct ApiPlan {
    shape: &'static MessageShape,
    versions: Vec<Box<[Step]>>,
}

/// What clients send. Built on first use, about 200 short lists, and constant from then on.
pub(super) static REQUEST_PLANS: LazyLock<Plans> = LazyLock::new(|| Plans::new(REQUESTS));

/// What brokers answer.
pub(super) static RESPONSE_PLANS: LazyLock<Plans> = LazyLock::new(|| Plans::new(RESPONSES));

impl Plans {
    fn new(shapes: &'static [MessageShape]) -> Self {
        let mut plans = Vec::new();
        for shape in shapes {
            let key = usize::try_from(shape.api_key).expect("the tables have no negative keys");
            plans.resize_with(plans.len().max(key + 1), || None);
            let versions = shape.versions.first..=shape.versions.last;
            let steps = versions.map(|version| Resolver::new(shape, version).steps(shape.body));
            plans[key] = Some(ApiPlan {
                shape,
                versions: steps.collect(),
            });
        }
        Self(plans)
    }

    fn api(&self, api_key: i16) -> Option<&ApiPlan> {
        self.0.get(usize::try_from(api_key).ok()?)?.as_ref()
    }

    /// The table row of this key.
    pub(super) fn shape(&self, api_key: i16) -> Option<&'static MessageShape> {
        self.api(api_key).map(|api| api.shape)
    }

    /// The steps of this message, if the tables know it.
    pub(super) fn steps(&self, api_key: i16, version: i16) -> Option<&[Step]> {
        let api = self.api(api_key)?;
        let index = version.checked_sub(api.shape.versions.first)?;
        api.versions
            .get(usize::try_from(index).ok()?)
            .map(AsRef::as_ref)
    }
}

struct Resolver {
    version: i16,
    flexible: bool,
}

impl Resolver {
    fn new(shape: &MessageShape, version: i16) -> Self {
        Self {
            version,
            flexible: version >= shape.flexible_from,
        }
    }

    fn steps(&self, shape: &'static StructShape) -> Box<[Step]> {
        let mut steps = Vec::new();
        self.push_struct(&mut steps, shape);
        steps.into_boxed_slice()
    }

    fn push_struct(&self, steps: &mut Vec<Step>, shape: &'static StructShape) {
        for field in shape.plain_fields(self.version) {
            self.push_field(steps, field);
        }
        if self.flexible {
            let tagged = shape.fields.iter().filter_map(|field| self.tagged(field));
            steps.push(Step::Tags(tagged.collect()));
        }
    }

    fn push_field(&self, steps: &mut Vec<Step>, field: &'static Field) {
        let nullable = self.version >= field.nullable_from;
        match field.kind {
            Kind::Struct(inner) if nullable => {
                steps.push(Step::Optional {
                    field: field.name,
                    steps: self.steps(inner),
                });
            }
            ref kind => self.push_kind(steps, field.name, kind, nullable),
        }
    }

    fn push_kind(
        &self,
        steps: &mut Vec<Step>,
        field: &'static str,
        kind: &'static Kind,
        nullable: bool,
    ) {
        let compact = self.flexible;
        match kind {
            Kind::Scalar(Scalar::Int16)
                if matches!(field, "error_code" | "partition_error_code") =>
            {
                steps.push(Step::Code { field });
            }
            Kind::Scalar(scalar) => push_skip(steps, field, scalar.width()),
            Kind::String => steps.push(Step::String {
                field,
                nullable,
                compact,
            }),
            Kind::Bytes | Kind::Records => steps.push(Step::Bytes {
                field,
                nullable,
                compact,
            }),
            Kind::Struct(inner) => self.push_struct(steps, inner),
            Kind::Array(element) => {
                let element = self.element(field, element);
                steps.push(Step::Array {
                    field,
                    nullable,
                    compact,
                    element,
                });
            }
        }
    }

    fn element(&self, field: &'static str, kind: &'static Kind) -> Element {
        let mut steps = Vec::new();
        self.push_kind(&mut steps, field, kind, false);
        let fixed_width = match steps.as_slice() {
            [Step::Skip { width, .. }] => Some(*width),
            _ => None,
        };
        Element {
            smallest: steps.iter().map(Step::smallest).sum::<usize>().max(1),
            fixed_width,
            decoded_size: kind.decoded_size(),
            steps: steps.into_boxed_slice(),
        }
    }

    fn tagged(&self, field: &'static Field) -> Option<Tagged> {
        let tag = field.tag?;
        let steps = field.versions.contains(self.version).then(|| {
            let mut steps = Vec::new();
            self.push_field(&mut steps, field);
            steps.into_boxed_slice()
        });
        Some(Tagged {
            tag,
            field: field.name,
            steps,
        })
    }
}

fn push_skip(steps: &mut Vec<Step>, field: &'static str, width: usize) {
    if let Some(Step::Skip { width: run, .. }) = steps.last_mut() {
        *run += width;
    } else {
        steps.push(Step::Skip { field, width });
    }
}

impl Step {
    fn smallest(&self) -> usize {
        match self {
            Step::Skip { width, .. } => *width,
            Step::Code { .. } | Step::String { compact: false, .. } => 2,
            Step::Bytes { compact: false, .. } | Step::Array { compact: false, .. } => 4,
            Step::String { .. }
            | Step::Bytes { .. }
            | Step::Array { .. }
            | Step::Optional { .. }
            | Step::Tags(_) => 1,
        }
    }
}
