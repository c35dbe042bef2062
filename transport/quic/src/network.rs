//! The network threads: their runtimes, their sockets, their end.

use std::{
    future::Future,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::Duration,
};

use modulith_wire::{Hello, Local};
use quinn::{ClientConfig, EndpointConfig, ServerConfig, TokioRuntime, VarInt};
use socket2::{Domain, Socket, Type};
use tokio::{
    runtime::{Handle, Runtime},
    sync::Notify,
    time::timeout,
};

use crate::{
    Names, Options, Service, StartError,
    accept::{self, Acceptor},
    close::Code,
    dial::Dialler,
    registry::Registry,
    seat::Seat,
    security::Security,
    spin, trust,
    tuning::{self, End},
};

/// How long the last packets may take to leave when the endpoint stops.
const FAREWELL_TIMEOUT: Duration = Duration::from_millis(200);

/// A handle to the thread.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    pub(crate) runtime: Handle,
    stop: Arc<Notify>,
}

impl Network {
    /// Closes every connection and ends the thread.
    pub(crate) fn stop(&self) {
        self.stop.notify_one();
    }
}

/// What the started threads give their endpoint.
pub(crate) struct Started {
    pub(crate) networks: Vec<Network>,
    pub(crate) seats: Vec<Seat>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) security: Security,
    pub(crate) address: Option<SocketAddr>,
    pub(crate) threads: Vec<JoinHandle<()>>,
}

/// The sockets of a process: one where it listens, one from which it calls others. A socket that
/// listens on one address, such as loopback, cannot reach all others.
struct Sockets {
    accepting: Option<quinn::Endpoint>,
    dialling: quinn::Endpoint,
}

/// Starts the threads, and waits until they listen: all at the address that the first one got.
pub(crate) fn start(
    mut options: Options,
    service: &Arc<dyn Service>,
    names: &Arc<dyn Names>,
) -> Result<Started, StartError> {
    let mut started = Started {
        networks: Vec::new(),
        seats: Vec::new(),
        registry: Arc::default(),
        security: Security::new(&options)?,
        address: None,
        threads: Vec::new(),
    };
    if let Some(address) = options.listen.filter(|_| options.threads.get() > 1) {
        // A shared address is given to any process of the same user: make sure that it is ours.
        UdpSocket::bind(address).map_err(|source| cannot_listen(&options, address, source))?;
    }
    for index in 0..options.threads.get() {
        let (service, names) = (Arc::clone(service), Arc::clone(names));
        let registry = Arc::clone(&started.registry);
        let security = started.security.clone();
        match start_thread(index, options.clone(), service, names, registry, security) {
            Ok((prepared, thread)) => {
                options.listen = prepared.address;
                started.address = prepared.address;
                started.seats.push(prepared.seat());
                started.networks.push(prepared.network);
                started.threads.push(thread);
            }
            Err(error) => {
                started.networks.iter().for_each(Network::stop);
                return Err(error);
            }
        }
    }
    if let Some(first) = started.networks.first() {
        let trust = Arc::clone(&started.security.trust);
        first.runtime.spawn(trust::follow(trust));
    }
    Ok(started)
}

/// Starts one thread. It does everything itself, failing included: a runtime must not be dropped
/// where the caller may be, which is inside another.
fn start_thread(
    index: usize,
    options: Options,
    service: Arc<dyn Service>,
    names: Arc<dyn Names>,
    registry: Arc<Registry>,
    security: Security,
) -> Result<(Prepared, JoinHandle<()>), StartError> {
    let (tell, told) = mpsc::sync_channel(1);
    let thread = std::thread::Builder::new()
        .name(format!("quic-{index}"))
        .spawn(
            move || match prepare(&options, service, names, registry, &security) {
                Ok((runtime, prepared, run)) => {
                    let _ = tell.send(Ok(prepared));
                    runtime.block_on(run);
                }
                Err(error) => {
                    let _ = tell.send(Err(error));
                }
            },
        )
        .map_err(StartError::Thread)?;
    let gone = || StartError::Thread(io::Error::other("the network thread panicked"));
    Ok((told.recv().map_err(|_| gone())??, thread))
}

/// What the thread has made for its endpoint.
pub(crate) struct Prepared {
    pub(crate) network: Network,
    pub(crate) dialler: Arc<Dialler>,
    pub(crate) address: Option<SocketAddr>,
}

impl Prepared {
    fn seat(&self) -> Seat {
        Seat {
            runtime: self.network.runtime.clone(),
            dialler: Arc::clone(&self.dialler),
        }
    }
}

pub(crate) fn prepare(
    options: &Options,
    service: Arc<dyn Service>,
    names: Arc<dyn Names>,
    registry: Arc<Registry>,
    security: &Security,
) -> Result<(Runtime, Prepared, impl Future<Output = ()> + use<>), StartError> {
    let local = Arc::new(local(options)?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(StartError::Thread)?;
    let sockets = {
        let _entered = runtime.enter();
        open(options, security)?
    };
    let address = match &sockets.accepting {
        Some(socket) => Some(socket.local_addr().map_err(StartError::Thread)?),
        None => None,
    };
    let mut client = ClientConfig::new(security.tls.client.clone());
    client.transport_config(tuning::transport(
        End::Dialler,
        &options.timing,
        &options.limits,
    ));
    let dialler = Arc::new(Dialler {
        local: Arc::clone(&local),
        names,
        socket: sockets.dialling.clone(),
        client,
        connect_timeout: options.timing.connect_timeout,
        security: security.clone(),
        config: tuning::socket(&security.trust.secret("stateless reset")),
    });
    let acceptor = Arc::new(Acceptor {
        service,
        registry: Arc::clone(&registry),
        messages: local
            .hello()
            .messages
            .iter()
            .map(|it| it.name.as_str().into())
            .collect(),
        local,
        connect_timeout: options.timing.connect_timeout,
        security: security.clone(),
    });
    let stop = Arc::new(Notify::new());
    let spin = options.spin;
    let run = run(sockets, acceptor, Arc::clone(&stop), spin);
    let network = Network {
        runtime: runtime.handle().clone(),
        stop,
    };
    Ok((
        runtime,
        Prepared {
            network,
            dialler,
            address,
        },
        run,
    ))
}

/// Accepts connections until the endpoint is closed. Everything else is a task of its own.
async fn run(sockets: Sockets, acceptor: Arc<Acceptor>, stop: Arc<Notify>, spin: Duration) {
    spin::start(spin);
    if let Some(socket) = &sockets.accepting {
        tokio::spawn(accept::run(socket.clone(), acceptor));
    }
    stop.notified().await;
    let code = VarInt::from_u32(Code::Stopping as u32);
    let sockets = sockets.accepting.iter().chain([&sockets.dialling]);
    for socket in sockets.clone() {
        socket.close(code, b"");
    }
    for socket in sockets {
        let _ = timeout(FAREWELL_TIMEOUT, socket.wait_idle()).await;
    }
}

fn local(options: &Options) -> Result<Local, StartError> {
    let hello = Hello {
        application: options.application.clone(),
        process: options.process.clone(),
        incarnation: options.incarnation,
        replica: options.replica,
        replicas: options.replicas,
        partitions: options.partitions.clone(),
        modules: options.modules.clone(),
        messages: options.messages.clone(),
    };
    Ok(Local::new(hello, options.limits.clone())?)
}

fn open(options: &Options, security: &Security) -> Result<Sockets, StartError> {
    let accepting = match options.listen {
        Some(address) => Some(listen(address, options, security)?),
        None => None,
    };
    let config = tuning::socket(&security.trust.secret("stateless reset"));
    let dialling = dialling(&config).map_err(|source| StartError::Socket {
        process: options.process.clone(),
        source,
    })?;
    Ok(Sockets {
        accepting,
        dialling,
    })
}

/// Opens a socket to call others with, on the runtime of the current thread. Dual-stack where
/// there is IPv6.
pub(crate) fn dialling(config: &EndpointConfig) -> io::Result<quinn::Endpoint> {
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))
        .or_else(|_| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)))?;
    endpoint(socket, config.clone(), None)
}

fn listen(
    address: SocketAddr,
    options: &Options,
    security: &Security,
) -> Result<quinn::Endpoint, StartError> {
    let mut server = ServerConfig::with_crypto(security.tls.server.clone());
    server.transport_config(tuning::transport(
        End::Acceptor,
        &options.timing,
        &options.limits,
    ));
    let bound = bind(address, options.threads.get() > 1);
    let config = tuning::socket(&security.trust.secret("stateless reset"));
    bound
        .and_then(|socket| endpoint(socket, config, Some(server)))
        .map_err(|source| cannot_listen(options, address, source))
}

fn cannot_listen(options: &Options, address: SocketAddr, source: io::Error) -> StartError {
    let process = options.process.clone();
    match source.kind() {
        io::ErrorKind::AddrInUse => StartError::AddressInUse { address, process },
        _ => StartError::Listen {
            address,
            process,
            source,
        },
    }
}

/// Binds where connections are accepted. Sockets of several threads share the address, and the
/// system gives each connection to one of them.
fn bind(address: SocketAddr, is_shared: bool) -> io::Result<UdpSocket> {
    if !is_shared {
        return UdpSocket::bind(address);
    }
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn endpoint(
    socket: UdpSocket,
    config: EndpointConfig,
    server: Option<ServerConfig>,
) -> io::Result<quinn::Endpoint> {
    tuning::enlarge_buffers(&socket)?;
    quinn::Endpoint::new(config, server, socket, Arc::new(TokioRuntime))
}
