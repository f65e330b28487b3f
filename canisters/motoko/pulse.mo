// A heartbeat that counts the rounds it saw, up to a limit.

persistent actor Pulse {
  var beats : Nat = 0;
  var limit : Nat = 5;

  system func heartbeat() : async () {
    if (beats < limit) { beats += 1 };
  };

  public query func get() : async Nat { beats };

  public func more(n : Nat) : async () { limit += n };
};
