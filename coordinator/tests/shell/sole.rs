//! One coordinator per database.

use ha_coordinator::{
    serve::{self, ServeError},
    store::SoleError,
};

use crate::rig::Rig;

#[tokio::test(flavor = "multi_thread")]
async fn a_second_coordinator_on_the_same_database_does_not_serve() {
    let mut rig = Rig::start().await;
    let mut config = rig.config.clone();
    config.listen.set_port(0);
    // Under another name too.
    let link = rig.config.data_dir.join("other.db");
    std::os::unix::fs::symlink(rig.config.data_dir.join("coordinator.db"), &link).unwrap();
    for database in [None, Some(format!("sqlite:{}", link.display()).parse().unwrap())] {
        config.database = database;
        let error = serve::start(&config).await.err().expect("two serve");
        let ServeError::NotSole(error @ SoleError::Taken { .. }) = error else { panic!("{error:?}") };
        assert!(error.to_string().contains("another ha-coordinator serves sqlite:"), "{error}");
    }
    // The first one is not disturbed, and the right ends with it.
    assert!(rig.fleet().await.nodes.is_empty());
    rig.stop().await;
    serve::start(&config).await.unwrap().stop().await;
    rig.serve().await;
}
