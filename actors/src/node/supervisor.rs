//! The supervisor of a node: keeps its replicators and channels alive.
//!
//! Troubles of the world (servers, networks, disks) never end an actor; they are its states. An
//! actor that dies broke an invariant. It is started afresh, from what is durable, after a pause; one
//! that keeps dying is given up, loudly, so that it does no harm in a loop.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};

/// Starts a child under the supervisor's cell.
pub type StartChild = Arc<dyn Fn(ActorCell) -> BoxFuture<'static, Result<ActorCell, SpawnErr>> + Send + Sync>;

/// A child: what it is called in logs, and how it is started.
#[derive(Clone)]
pub struct Child {
    pub name: String,
    pub start: StartChild,
}

/// Messages to the supervisor.
pub enum SupervisorMessage {
    /// From the supervisor's own timer: start this child again.
    Restart(usize),
}

/// How often a child may die within [`BUDGET_TIME`] before it is given up.
const BUDGET: usize = 10;
const BUDGET_TIME: Duration = Duration::from_secs(600);
const PAUSE: Duration = Duration::from_secs(1);

pub struct Supervisor;

pub struct SupervisorState {
    children: Vec<Child>,
    running: HashMap<ActorId, usize>,
    deaths: Vec<Vec<Instant>>,
}

impl Actor for Supervisor {
    type Msg = SupervisorMessage;
    type State = SupervisorState;
    type Arguments = Vec<Child>;

    async fn pre_start(
        &self,
        myself: ActorRef<SupervisorMessage>,
        children: Vec<Child>,
    ) -> Result<SupervisorState, ActorProcessingErr> {
        let deaths = vec![Vec::new(); children.len()];
        let mut state = SupervisorState { children, running: HashMap::new(), deaths };
        for index in 0..state.children.len() {
            state.start(&myself, index).await?;
        }
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<SupervisorMessage>,
        message: SupervisorMessage,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            SupervisorMessage::Restart(index) => state.start(&myself, index).await?,
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<SupervisorMessage>,
        event: SupervisionEvent,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(who, error) => {
                state.died(&myself, who.get_id(), &error.to_string())
            }
            // Only the end of the node stops a child.
            SupervisionEvent::ActorTerminated(who, ..) => {
                state.running.remove(&who.get_id());
            }
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {}
        }
        Ok(())
    }
}

impl SupervisorState {
    async fn start(&mut self, myself: &ActorRef<SupervisorMessage>, index: usize) -> Result<(), SpawnErr> {
        let cell = (self.children[index].start)(myself.get_cell()).await?;
        self.running.insert(cell.get_id(), index);
        Ok(())
    }

    fn died(&mut self, myself: &ActorRef<SupervisorMessage>, who: ActorId, error: &str) {
        let Some(index) = self.running.remove(&who) else { return };
        let name = &self.children[index].name;
        let deaths = &mut self.deaths[index];
        deaths.retain(|at| at.elapsed() < BUDGET_TIME);
        deaths.push(Instant::now());
        if deaths.len() > BUDGET {
            tracing::error!(
                child = name,
                error,
                "died too often and is given up; restart the node and report this"
            );
            return;
        }
        tracing::error!(child = name, error, "died; it is started again from what is durable");
        myself.send_after(PAUSE, move || SupervisorMessage::Restart(index));
    }
}
