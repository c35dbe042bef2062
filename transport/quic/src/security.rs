//! What all threads of an endpoint share of whom to trust and what to show.

use std::{sync::Arc, time::Duration};

use rustls::time_provider::DefaultTimeProvider;

use crate::{
    Options, StartError, counters::Tally, identity::Identity, lease::Leases, naming, tls::Tls,
    trust::Trust,
};

#[derive(Clone)]
pub(crate) struct Security {
    pub(crate) trust: Arc<Trust>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) leases: Arc<Leases>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) tls: Arc<Tls>,
    pub(crate) connection_age_max: Duration,
}

impl Security {
    pub(crate) fn new(options: &Options) -> Result<Self, StartError> {
        let (application, process) = (&options.application, &options.process);
        let mut names = vec![naming::process(process, application)?];
        for module in &options.modules {
            names.push(naming::module(module, application)?);
        }
        let time = Arc::new(DefaultTimeProvider);
        let trust = Trust::load(&options.credentials, application, process, time)
            .map_err(|error| StartError::Certificate(Box::new(error)))?;
        let tls =
            Tls::new(&trust, names).map_err(|error| StartError::Certificate(Box::new(error)))?;
        let tally = Arc::<Tally>::default();
        Ok(Self {
            leases: Arc::new(Leases::new(Arc::clone(&trust), Arc::clone(&tally))),
            identity: Arc::clone(&tls.identity),
            tls: Arc::new(tls),
            trust,
            tally,
            connection_age_max: options.timing.connection_age_max,
        })
    }
}
