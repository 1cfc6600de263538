//! What Firestore and the network do at the wrong moment, and what a contribution costs: counted at a proxy
//! in front of the emulator.
