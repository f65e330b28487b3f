// The third version of `album.mo`. A migration turns variables into ones of other types.

(
  with migration = func(
    old : { var views : Int; var mood : { #calm; #busy; #asleep } }
  ) : { var views : Text; var moods : [Text] } {
    { var views = debug_show old.views; var moods = [debug_show old.mood] };
  }
)
persistent actor Album {
  var views : Text = "";
  var moods : [Text] = [];
  var upgrades : Nat = 0;
  var stuck : Bool = false;
  var extra : Text = "new";

  public query func state() : async (Text, [Text], Nat, Bool, Text) {
    (views, moods, upgrades, stuck, extra);
  };
};
