// No version of `album.mo`: one of its variables has a type that the kept value does not fit, so
// that the runtime refuses the upgrade.

persistent actor Album {
  var views : Text = "";

  public query func state() : async Text { views };
};
